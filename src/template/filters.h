/* SPDX-License-Identifier: Apache-2.0 */
/* The filters on lists, for the one table in filters.c. Each as in Jinja2's filters.py. */
#ifndef CRIA_TEMPLATE_FILTERS_H
#define CRIA_TEMPLATE_FILTERS_H

#include "template/tree.h"

/* An attribute such as "a.b.0" of v (MISSING or None: v itself), in lower case where it is a text and fold. */
bool cria_jinja_path(jinja_state *s, jinja_value v, jinja_value path, jinja_value otherwise, bool fold,
                     jinja_value *out);

jinja_filter_fn cria_jinja_f_list, cria_jinja_f_first, cria_jinja_f_last, cria_jinja_f_items, cria_jinja_f_join,
    cria_jinja_f_reverse, cria_jinja_f_sort, cria_jinja_f_dictsort, cria_jinja_f_unique, cria_jinja_f_min,
    cria_jinja_f_max, cria_jinja_f_sum, cria_jinja_f_batch, cria_jinja_f_slice, cria_jinja_f_groupby,
    cria_jinja_f_map, cria_jinja_f_select, cria_jinja_f_reject, cria_jinja_f_selectattr, cria_jinja_f_rejectattr;

#endif
