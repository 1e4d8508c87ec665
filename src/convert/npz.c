/* SPDX-License-Identifier: Apache-2.0 */
/* An MLX folder as the example writes it: npz, and config.json with Meta's names. */
#include "base/status.h"
#include "convert/source.h"

#include <stdio.h>

cria_status cria_convert_open_npz(struct cria_convert_source *s, cria_error *err) {
    cria_config c;
    cria_json *json = NULL;
    cria_status st = cria_convert_read_config(s, "config.json", err);
    if (!st)
        st = cria_config_from_json((const char *)s->config_map.data, s->config_map.len, s->config_path,
                                   s->container, &c, err);
    if (!st)
        st = cria_json_parse((const char *)s->config_map.data, s->config_map.len, s->config_path, &json, err);
    if (!st) {
        s->model = c;
        s->model.tied = false;
        st = cria_convert_reserve(s, cria_container_count(s->container), err);
    }
    if (!st) st = cria_convert_add_all(s, CRIA_NAMING_META, json, NULL, err);
    if (json != NULL) cria_json_free(json);
    return st;
}
