/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands. argv[0] is the program or subcommand name and not looked at; the result is the exit code: 0, 1 for a
 * failure (one line on stderr), 2 for bad usage (one line on stderr). */
#ifndef CRIA_CLI_COMMANDS_H
#define CRIA_CLI_COMMANDS_H

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

/* "cria 0.1.0" on stdout. */
int print_version(void);

#endif
