/* SPDX-License-Identifier: Apache-2.0 */
/* cria pull: models from the Hugging Face hub into the cache that its Python tools use, too. */
#include "pull.h"

#include "args.h"
#include "commands.h"

#include <stdio.h>

#define FIELD(name) offsetof(struct pull_options, name)

static const struct arg_option rows[] = {
    {.name = "NAME",
     .kind = ARG_OPERAND,
     .offset = FIELD(name),
     .help =
         "org/model, as the hub calls it. Of a repository of .gguf files, org/model:Q8_0 is the one of that "
         "quantization and org/model:FILE.gguf that file; without, Q4_K_M is taken, else Q4_0, else the only one. "
         "org/model@REVISION is a branch, tag or commit"},
    {.name = "jobs",
     .letter = 'j',
     .kind = ARG_WHOLE,
     .metavar = "N",
     .def = "4",
     .offset = FIELD(jobs),
     .min = 1,
     .max = 32,
     .help = "how many files are fetched at once"},
    {.name = "dry-run",
     .kind = ARG_FLAG,
     .offset = FIELD(dry_run),
     .help = "show what would be fetched, and fetch nothing"},
    {.name = "quiet", .kind = ARG_FLAG, .offset = FIELD(quiet), .help = "nothing on stderr but errors"},
};

static const struct arg_command command = {
    .name = "pull",
    .usage = "Usage: cria pull [OPTIONS] NAME",
    .about = "Fetches a model from the Hugging Face hub: what cria needs of it and nothing else. Afterwards\n"
             "--model-path NAME and every other place for a model take its name. The path of what was fetched is\n"
             "printed. Run again, it fetches what is missing or has changed; broken off, it goes on where it was.\n"
             "\n"
             "HF_TOKEN is sent for models that are not open to everybody, HF_HOME is where models are kept,\n"
             "HF_ENDPOINT another hub; https_proxy is used, and with HF_HUB_OFFLINE=1 nothing is fetched.",
    .examples = "Examples\n"
                "  cria pull HuggingFaceTB/SmolLM2-135M-Instruct\n"
                "  cria pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0\n"
                "  cria pull --dry-run mlx-community/Qwen3-4B-4bit\n"
                "  cria --model-path bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0 --prompt \"Once\"\n",
};

int pull_main(int argc, char **argv) {
    struct pull_options o = {0};
    const struct arg_group groups[] = {{"Options", rows, sizeof rows / sizeof *rows, &o}};
    int code;
    if (!command_begins(&command, groups, 1, argc, argv, &code)) return code;
    struct hub_name name;
    cria_error err;
    if (hub_name_parse(o.name, &name, &err) != CRIA_OK) {
        fprintf(stderr, "cria: %s Try 'cria pull --help'.\n", err.msg);
        return EXIT_USAGE;
    }
    return pull_run(&o, &name);
}
