/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a ZIP archive that is wholly in memory: the list of members, each with the place of its bytes.
 * Nothing is copied; names and data borrow from the archive. What a member holds is not looked at (npz.c
 * does).
 *
 * Source: PKWARE APPNOTE.TXT 6.3.10. The central directory rules; local headers must agree with it. ZIP64 is
 * read. Refused: encryption, methods other than stored and deflate, several disks, members that overlap each
 * other or the directory, bytes before the first or after the last record that the directory does not account
 * for at its end.
 *
 * The CRC-32 of a deflated member is checked when it is inflated. That of a stored member is not: checking it
 * at load would read the whole archive, which is mapped so that it need not be.
 */
#ifndef CRIA_FORMAT_ZIP_H
#define CRIA_FORMAT_ZIP_H

#include "cria/cria.h"

typedef struct cria_zip_member {
    const char *name;    /* not NUL-terminated; not empty, UTF-8 without NUL */
    const uint8_t *data; /* csize bytes as stored, at any alignment */
    size_t name_len, csize;
    size_t usize;  /* bytes once inflated: csize when stored, at most 1032·csize when deflated */
    size_t header; /* offset of the local header */
    uint32_t crc;
    bool deflated;
} cria_zip_member;

typedef struct cria_zip {
    cria_ctx *ctx;
    const char *path; /* for messages; borrowed */
    const uint8_t *data;
    size_t len;
    cria_zip_member *members; /* in the directory's order */
    size_t n;
} cria_zip;

/* data must outlive the zip. On failure there is nothing to free. */
cria_status cria_zip_init(cria_zip *zip, cria_ctx *ctx, const char *path, const uint8_t *data, size_t len,
                          cria_error *err);
void cria_zip_fini(cria_zip *zip);

/* out[0..usize) becomes the contents of a deflated member, length and CRC-32 checked. */
cria_status cria_zip_inflate(const cria_zip *zip, const cria_zip_member *member, uint8_t *out,
                             cria_error *err);
/* For who writes an archive (write.h). */
uint32_t cria_zip_crc32(const uint8_t *data, size_t len);

#endif
