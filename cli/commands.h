/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands. argv[0] is the program or subcommand name and not looked at; the result is the exit code: 0, 1 for a
 * failure (one line on stderr), 2 for bad usage (one line on stderr). */
#ifndef CRIA_CLI_COMMANDS_H
#define CRIA_CLI_COMMANDS_H

#include "args.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int generate_main(int argc, char **argv);
int chat_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int perplexity_main(int argc, char **argv);
int convert_main(int argc, char **argv);
int pack_main(int argc, char **argv);
int pull_main(int argc, char **argv);
int list_main(int argc, char **argv);
int rm_main(int argc, char **argv);
int inspect_main(int argc, char **argv);
int tokenize_main(int argc, char **argv);
int detokenize_main(int argc, char **argv);
int doctor_main(int argc, char **argv);

/* What every subcommand begins with: parses the command line, answers --help and --version. False: that was all, and
 * *code is what to return. */
bool command_begins(const struct arg_command *command, const struct arg_group *groups, size_t n_groups, int argc,
                    char **argv, int *code);

#endif
