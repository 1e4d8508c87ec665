/* SPDX-License-Identifier: Apache-2.0 */
/* Sources: the kernel's documents on proc (cpuinfo, meminfo), transhuge and sysfs-devices-system-cpu (online). */
#include "base/machine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_under(const char *root, const char *name, char *text, size_t size) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return cria_read_text(path, text, size);
}

/* The rest of the line that begins with key, behind "[ \t]*:[ \t]*"; NULL when there is none. */
static const char *value_of(const char *text, const char *key) {
    const size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) != 0) continue;
        const char *p = line + n + strspn(line + n, " \t");
        if (*p == ':') return p + 1 + strspn(p + 1, " \t");
    }
    return NULL;
}

/* x86 calls it "model name"; Arm names parts by numbers, but some boards say "Model" at the end. What does not print is
 * replaced: the text goes to terminals. */
static void read_processor(const char *root, char *out, size_t size) {
    char text[16384]; /* the first processor's part; or the whole, on the small machines that say Model */
    out[0] = '\0';
    if (!read_under(root, "proc/cpuinfo", text, sizeof text)) return;
    const char *name = value_of(text, "model name");
    if (!name) name = value_of(text, "Model");
    if (!name) return;
    size_t n = 0;
    for (; name[n] && name[n] != '\n' && n + 1 < size; n++)
        out[n] = (unsigned char)name[n] < 0x20 || (unsigned char)name[n] >= 0x7f ? '?' : name[n];
    while (n > 0 && out[n - 1] == ' ') n--;
    out[n] = '\0';
}

static uint64_t kib_of(const char *text, const char *key) {
    const char *v = value_of(text, key);
    return v ? strtoull(v, NULL, 10) * 1024 : 0;
}

static void read_memory(const char *root, cria_machine *out) {
    char text[8192];
    if (!read_under(root, "proc/meminfo", text, sizeof text)) return;
    out->memory_bytes = kib_of(text, "MemTotal");
    out->memory_available_bytes = kib_of(text, "MemAvailable");
}

/* "always [madvise] never": the choice is in brackets. */
static cria_huge_pages read_huge_pages(const char *root) {
    char text[100];
    if (!read_under(root, "sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text))
        return CRIA_HUGE_PAGES_UNKNOWN;
    if (strstr(text, "[always]")) return CRIA_HUGE_PAGES_ALWAYS;
    if (strstr(text, "[madvise]")) return CRIA_HUGE_PAGES_ON_REQUEST;
    return strstr(text, "[never]") ? CRIA_HUGE_PAGES_NEVER : CRIA_HUGE_PAGES_UNKNOWN;
}

static void name_features(uint32_t flags, char *out, size_t size) {
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {CRIA_CPU_AVX2, "avx2"},
        {CRIA_CPU_AVXVNNI, "avx_vnni"},
        {CRIA_CPU_AVX512, "avx512"},
        {CRIA_CPU_AVX512VNNI, "avx512_vnni"},
        {CRIA_CPU_AVX512BF16, "avx512_bf16"},
        {CRIA_CPU_NEON, "neon"},
        {CRIA_CPU_DOTPROD, "dotprod"},
        {CRIA_CPU_I8MM, "i8mm"},
    };
    out[0] = '\0';
    for (size_t i = 0, n = 0; i < sizeof names / sizeof names[0]; i++)
        if (flags & names[i].flag && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", names[i].name);
}

uint64_t cria_memory_available(const char *root) {
    cria_machine m = {.memory_bytes = 0};
    read_memory(root, &m);
    return m.memory_available_bytes;
}

void cria_machine_read(const char *root, const struct cria_cpu *cpu, cria_machine *out) {
    const struct cria_topology *t = &cpu->topology;
    const uint32_t online = cria_topology_online(root);
    *out = (cria_machine){
        .cpus_online = online ? online : t->n_cpus,
        .cpus = t->n_cpus,
        .cores = t->n_cores,
        .slow_cores = t->n_slow,
        .nodes = t->n_nodes,
        .quota = cpu->quota == UINT32_MAX ? 0 : cpu->quota,
        .default_threads = cpu->threads,
        .huge_pages = read_huge_pages(root),
    };
    read_processor(root, out->processor, sizeof out->processor);
    name_features(cpu->detected, out->features, sizeof out->features);
    read_memory(root, out);
}
