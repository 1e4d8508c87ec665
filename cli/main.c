/* SPDX-License-Identifier: Apache-2.0 */
/* cria, the program: finds the subcommand and hands over. Without one it is `cria generate`. */
#include "args.h"
#include "commands.h"
#include "cria/cria.h"
#include "session.h"
#include "term.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"generate", "go on from a prompt, or answer questions (the default)", generate_main},
    {"chat", "talk with a model, or have it answer one question a line", chat_main},
    {"bench", "measure loading, prompt processing and generation", bench_main},
    {"perplexity", "measure how well a model foretells a text", perplexity_main},
    {"convert", "convert a model into an MLX folder, and quantize it", convert_main},
    {"pack", "pack a large model ahead of time, so that it loads fast", pack_main},
    {"pull", "fetch a model from the Hugging Face hub", pull_main},
    {"list", "list the models that are here", list_main},
    {"rm", "remove a model that is here", rm_main},
    {"inspect", "show what a model is: sizes, types, memory", inspect_main},
    {"tokenize", "show the tokens of a text", tokenize_main},
    {"detokenize", "turn token ids back into text", detokenize_main},
    {"doctor", "show what this machine has, and test the kernels on it", doctor_main},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* For spelling hints. */
static const char *const names[N_COMMANDS + 2] = {"generate", "chat", "bench", "perplexity", "convert", "pack",
                                                  "pull",     "list",     "rm",         "inspect", "tokenize",
                                                  "detokenize", "doctor", "help",       NULL};

bool command_begins(const struct arg_command *command, const struct arg_group *groups, size_t n_groups, int argc,
                    char **argv, int *code) {
    *code = EXIT_DONE;
    switch (args_parse(command, groups, n_groups, argc, argv)) {
    case ARGS_HELP: args_print_help(command, groups, n_groups); return false;
    case ARGS_VERSION: printf("cria %s\n", cria_version()); return false;
    case ARGS_BAD: *code = EXIT_USAGE; return false;
    case ARGS_RUN: break;
    }
    return true;
}

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static int no_such_command(const char *name) {
    const char *closest = args_closest(name, names);
    if (closest)
        fprintf(stderr, "cria: There is no command '%s'; did you mean '%s'? Try 'cria help'.\n", name, closest);
    else
        fprintf(stderr, "cria: There is no command '%s'. Try 'cria help'; a prompt goes behind --prompt.\n", name);
    return EXIT_USAGE;
}

static int print_help_of(const struct command *c) {
    char name[] = "cria", help[] = "--help";
    char *argv[] = {name, help, NULL};
    return c->run(2, argv);
}

/* The commands, then all about the default one. */
static int print_overview(void) {
    printf("cria runs Llama-family language models on a CPU.\n\nCommands\n");
    for (size_t i = 0; i < N_COMMANDS; i++) printf("  %-24s%s\n", commands[i].name, commands[i].summary);
    printf("  %-24s%s\n\n", "help COMMAND", "show the options of a command");
    return print_help_of(&commands[0]);
}

static int help_main(int argc, char **argv) {
    if (argc < 2) return print_overview();
    const struct command *c = find_command(argv[1]);
    return c ? print_help_of(c) : no_such_command(argv[1]);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2 || (argv[1][0] == '-' && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
        return generate_main(argc, argv);
    if (argv[1][0] == '-') return print_overview();
    if (strcmp(argv[1], "help") == 0) return help_main(argc - 1, argv + 1);
    const struct command *c = find_command(argv[1]);
    return c ? c->run(argc - 1, argv + 1) : no_such_command(argv[1]);
}

int main(int argc, char **argv) {
    term_init();
    /* A page of help is to be one write, the last: why an earlier one failed would be forgotten by then. */
    static char page[1 << 16]; /* glibc takes no size without the memory */
    if (isatty(STDOUT_FILENO) == 0) setvbuf(stdout, page, _IOFBF, sizeof page);
    const int code = dispatch(argc, argv);
    /* What was printed with stdio (help, versions, tables) may fail only now. */
    const bool failed = ferror(stdout) != 0; /* for what reason, the system has forgotten */
    errno = EIO;
    if ((fflush(stdout) != 0 || failed) && code == EXIT_DONE) return complain_unwritten(NULL);
    return code;
}
