/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to say about the machine: to a person (cria_machine in cria.h), and how much memory is free. */
#ifndef CRIA_BASE_MACHINE_H
#define CRIA_BASE_MACHINE_H

#include "base/cpu.h"
#include "cria/cria.h"

/* Everything but .tables and .threads, by cpu and the files under root ("" in earnest). */
/* Bytes that programs may still take without others being swapped out; 0 where the system does not say. */
uint64_t cria_memory_available(const char *root);
void cria_machine_read(const char *root, const struct cria_cpu *cpu, cria_machine *out);

#endif
