/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to say about the machine to a person (cria_machine in cria.h); nothing is decided by it. */
#ifndef CRIA_BASE_MACHINE_H
#define CRIA_BASE_MACHINE_H

#include "base/cpu.h"
#include "cria/cria.h"

/* Everything but .tables and .threads, by cpu and the files under root ("" in earnest). */
void cria_machine_read(const char *root, const struct cria_cpu *cpu, cria_machine *out);

#endif
