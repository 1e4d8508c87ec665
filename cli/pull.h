/* SPDX-License-Identifier: Apache-2.0 */
/* cria pull behind its command line: pull_run.c, or pull_none.c in a build without libcurl and OpenSSL. */
#ifndef CRIA_CLI_PULL_H
#define CRIA_CLI_PULL_H

#include "hubname.h"

struct pull_options {
    const char *name;
    uint64_t jobs; /* files at once */
    bool dry_run, quiet;
};

/* Returns the exit code. */
int pull_run(const struct pull_options *o, const struct hub_name *name);

#endif
