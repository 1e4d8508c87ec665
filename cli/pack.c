/* SPDX-License-Identifier: Apache-2.0 */
/* cria pack: packs a model ahead of time, so that the first who opens it need not wait. */
#include "commands.h"
#include "session.h"

#include <stdio.h>

static const struct arg_command command = {
    .name = "pack",
    .usage = "Usage: cria pack [OPTIONS]",
    .about = "Packs the weights of a model, of any size, into the cache folder, where other commands find them. The\n"
             "model's own files are still needed: its configuration, tokenizer and identity are read there.",
    .examples = "Examples\n"
                "  cria pack --model-path model.gguf\n"
                "  cria pack --model-path model.gguf --cache-folder /srv/packed\n"
                "  cria --model-path model.gguf --cache-folder /srv/packed\n",
};

int pack_main(int argc, char **argv) {
    struct session_options o = {0}; /* what a command has no option for is 0 */
    const struct arg_group groups[] = {
        {"Model", session_model_rows, n_session_model_rows, &o},
        {"Computation", session_speed_rows, n_session_speed_rows, &o},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    if (o.no_cache) {
        fprintf(stderr, "cria: pack fills the cache, so --no-cache leaves nothing to do. Try 'cria pack --help'.\n");
        return EXIT_USAGE;
    }
    struct session s;
    if (!session_open_cached(&s, &o)) return EXIT_FAILED;
    const bool kept = s.info.weights_mapped;
    session_close(&s);
    return kept ? EXIT_DONE : complain("There is no folder for packed weights; name one with --cache-folder.");
}
