/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test starts with: cmocka and the headers it wants before it. */
#ifndef CRIA_TESTS_UNIT_H
#define CRIA_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define N_ITEMS(array) (sizeof(array) / sizeof(array)[0])

#endif
