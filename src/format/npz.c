/* SPDX-License-Identifier: Apache-2.0 */
/* An .npz: a ZIP archive whose member "x.npy" is the tensor "x" (np.savez, mx.savez). Stored members stay
 * views into the file; deflated ones are inflated into memory of the container. Everything zip.c and npy.c
 * refuse is refused; so is a member that is no array, as MLX does. */
#include "base/status.h"
#include "format/npy.h"
#include "format/parse.h"
#include "format/zip.h"
#include <string.h>

#define SUFFIX ".npy"
#define SUFFIX_LEN (sizeof SUFFIX - 1)

/* A folder's own entry holds nothing (some ZIP tools write them). */
static bool is_folder(const cria_zip_member *m) { return m->usize == 0 && m->name[m->name_len - 1] == '/'; }

static cria_status read_member(cria_container *c, const cria_zip *zip, const cria_zip_member *m,
                               cria_error *err) {
    if (m->name_len <= SUFFIX_LEN || memcmp(m->name + m->name_len - SUFFIX_LEN, SUFFIX, SUFFIX_LEN) != 0)
        return cria_fail(
            err, CRIA_EFORMAT, m->header,
            "%s: member \"%.*s\" is no array, because its name does not end in .npy; save the arrays with "
            "mx.savez or np.savez.",
            zip->path, cria_name_shown(m->name, m->name_len), m->name);
    cria_tensor *t = &c->tensors[c->n_tensors];
    *t = (cria_tensor){.name = cria_container_string(c, m->name, m->name_len - SUFFIX_LEN)};
    if (t->name == NULL) return cria_fail_nomem(err, "the name of a tensor", m->name_len);
    const uint8_t *data = m->data;
    if (m->deflated) {
        uint8_t *inflated = cria_container_alloc(c, m->usize);
        if (inflated == NULL) return cria_fail_nomem(err, "a compressed tensor", m->usize);
        const cria_status st = cria_zip_inflate(zip, m, inflated, err);
        if (st != CRIA_OK) return st;
        data = inflated;
    }
    const cria_status st = cria_npy_parse(data, m->usize, zip->path, t->name, t, err);
    if (st == CRIA_OK) c->n_tensors++;
    return st;
}

cria_status cria_npz_read(cria_container *c, const struct cria_source *src, cria_error *err) {
    cria_zip zip;
    cria_status st = cria_zip_init(&zip, c->ctx, src->path, src->data, src->len, err);
    if (st != CRIA_OK) return st;
    st = cria_container_reserve(c, zip.n, err);
    for (size_t i = 0; i < zip.n && st == CRIA_OK; i++)
        if (!is_folder(&zip.members[i])) st = read_member(c, &zip, &zip.members[i], err);
    cria_zip_fini(&zip);
    return st;
}
