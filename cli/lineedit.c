/* SPDX-License-Identifier: Apache-2.0 */
/* The only door to libedit; without CRIA_EDIT lines are read plainly. */
#include "lineedit.h"

#include "base/utf8.h"
#include "savefile.h"
#include "session.h"
#include "term.h"

#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#ifdef CRIA_EDIT
#include <histedit.h>
#endif

struct lineedit {
    bool asks, more; /* more: this is not the first line of an input */
    struct line_reader reader;
#ifdef CRIA_EDIT
    EditLine *el; /* NULL: read plainly */
    HistoryW *history;
    FILE *screen;
    bool interrupted;
    char path[4096]; /* of the history; "": none */
#endif
};

static const char first_prompt[] = "> ", next_prompt[] = ". ";

bool lineedit_asks(const struct lineedit *l) { return l->asks; }

/* ---- plain lines ---- */

static enum lineedit_result read_plain(struct lineedit *l, struct text *out) {
    if (l->asks) fputs(l->more ? next_prompt : first_prompt, stderr);
    term_catch_interrupt();
    switch (input_read_line(&l->reader, out)) {
    case LINE_READ: return LINEEDIT_READ;
    case LINE_FAILED: return LINEEDIT_FAILED;
    case LINE_NONE: break;
    }
    if (l->asks) fputc('\n', stderr);
    return term_interrupted() && l->asks ? LINEEDIT_CLEARED : LINEEDIT_END;
}

#ifdef CRIA_EDIT

/* ---- the history: a line for each input, with \n and \\ for line ends and backslashes in it ---- */

static bool put_escaped(struct text *out, const char *text, size_t len) {
    bool ok = true;
    for (size_t i = 0; i < len && ok; i++)
        ok = text[i] == '\n' ? text_append(out, "\\n", 2) : text[i] == '\\' ? text_append(out, "\\\\", 2)
                                                                             : text_append(out, &text[i], 1);
    return ok && text_append(out, "\n", 1);
}

static void unescape(char *line) {
    char *to = line;
    for (const char *from = line; *from; from++) {
        if (*from == '\\' && from[1]) {
            from++;
            *to++ = *from == 'n' ? '\n' : *from;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* From UTF-8; to free. */
static wchar_t *widen(const char *text) {
    const size_t len = strlen(text);
    wchar_t *out = malloc((len + 1) * sizeof *out);
    size_t n = 0;
    for (size_t i = 0; out && i < len;) {
        uint32_t cp;
        const size_t good = cria_utf8_decode((const uint8_t *)text + i, len - i, &cp);
        out[n++] = (wchar_t)cp;
        i += good ? good : 1;
    }
    if (out) out[n] = L'\0';
    return out;
}

static bool narrow(const wchar_t *text, size_t len, struct text *out) {
    *out = (struct text){NULL, 0};
    bool ok = text_append(out, "", 0);
    for (size_t i = 0; i < len && ok; i++) {
        uint8_t bytes[4];
        const uint32_t cp = (uint32_t)text[i];
        const bool valid = cp < 0x110000 && !(cp >= 0xd800 && cp < 0xe000);
        ok = text_append(out, (const char *)bytes, cria_utf8_encode(valid ? cp : CRIA_UTF8_REPLACEMENT, bytes));
    }
    return ok;
}

/* As the XDG Base Directory Specification has it. */
static void find_history(struct lineedit *l) {
    const char *base = getenv("XDG_STATE_HOME"), *rest = "cria";
    if (!base || *base != '/') {
        base = getenv("HOME");
        rest = ".local/state/cria";
    }
    const int n = base && *base == '/' ? snprintf(l->path, sizeof l->path, "%s/%s/history", base, rest) : 0;
    if (n <= 0 || (size_t)n >= sizeof l->path) l->path[0] = '\0';
    for (char *p = l->path + 1; l->path[0] && (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(l->path, 0700);
    }
}

/* The file's text; empty where there is none. What is too large or no plain file counts as none. */
static struct text read_history(const struct lineedit *l) {
    struct text t = {NULL, 0};
    struct stat st;
    FILE *f = l->path[0] && stat(l->path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(l->path, "rb") : NULL;
    char part[4096];
    size_t n;
    while (f && t.len < 2 * HISTORY_BYTES_MAX && (n = fread(part, 1, sizeof part, f)) > 0)
        if (!text_append(&t, part, n)) break;
    if (f) fclose(f);
    return t;
}

static void remember_in_list(struct lineedit *l, const char *text) {
    HistEventW event;
    wchar_t *wide = widen(text);
    if (wide && *wide) history_w(l->history, &event, H_ENTER, wide);
    free(wide);
}

/* In the list, and at the end of the file, which another cria may have written meanwhile. */
static void remember(struct lineedit *l, const struct text *line) {
    if (line->len == 0 || line->len > HISTORY_BYTES_MAX / 4 || memchr(line->data, '\0', line->len)) return;
    remember_in_list(l, line->data);
    struct text t = read_history(l);
    if (t.len > 0 && t.data[t.len - 1] != '\n') text_append(&t, "\n", 1);
    if (l->path[0] && put_escaped(&t, line->data, line->len)) {
        size_t from = t.len, lines = 0;
        while (from > 0 && t.len - from < HISTORY_BYTES_MAX) {
            if (from < t.len && t.data[from - 1] == '\n' && ++lines == HISTORY_MAX) break;
            from--;
        }
        while (from > 0 && from < t.len && t.data[from - 1] != '\n') from++;
        save_file(l->path, t.data + from, t.len - from, true); /* a history that cannot be kept is no reason to stop */
    }
    text_free(&t);
}

static void load_history(struct lineedit *l) {
    struct text t = read_history(l);
    for (char *line = t.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        unescape(line);
        remember_in_list(l, line);
    }
    text_free(&t);
}

/* ---- keys ---- */

static struct lineedit *of(EditLine *el) {
    void *data = NULL;
    el_wget(el, EL_CLIENTDATA, &data);
    return data;
}

static wchar_t *prompt(EditLine *el) {
    static wchar_t first[] = L"> ", next[] = L". ";
    return of(el)->more ? next : first;
}

static unsigned char on_interrupt(EditLine *el, wint_t key) {
    struct lineedit *l = of(el);
    (void)key;
    el_cursor(el, INT_MAX); /* to the end, which may be lines further down */
    el_wset(el, EL_REFRESH);
    fputs("^C\r\n", l->screen);
    l->interrupted = true;
    return CC_NEWLINE;
}

static unsigned char on_line_end(EditLine *el, wint_t key) {
    (void)key;
    return el_winsertstr(el, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Control characters would do something to the terminal when shown. False when there is no room. */
static bool insert_pasted(EditLine *el, wchar_t c) {
    const wchar_t text[] = {c == L'\r' ? L'\n' : c, L'\0'};
    const bool shown = (c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0)) || c == L'\n' || c == L'\r' || c == L'\t';
    return !shown || el_winsertstr(el, text) == 0;
}

/* Line ends and all, up to ESC [ 201 ~. */
static unsigned char on_paste(EditLine *el, wint_t key) {
    static const wchar_t mark[] = L"\033[201~";
    (void)key;
    size_t matched = 0;
    wchar_t c, last = 0;
    bool room = true;
    while (mark[matched] && el_wgetc(el, &c) == 1) {
        if (c == mark[matched]) {
            matched++;
            continue;
        }
        for (size_t i = 0; i < matched && room; i++) room = insert_pasted(el, mark[i]);
        matched = c == mark[0]; /* nothing else in the mark is as its beginning */
        if (room && !matched && !(c == L'\n' && last == L'\r')) room = insert_pasted(el, c);
        last = c;
    }
    return room ? CC_REFRESH : CC_REFRESH_BEEP;
}

static unsigned char on_suspend(EditLine *el, wint_t key) {
    (void)key;
    el_wset(el, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    el_wset(el, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

static void bind_keys(EditLine *el) {
    el_wset(el, EL_EDITOR, L"emacs");
    el_wset(el, EL_ADDFN, L"cria-interrupt", L"Clears the line", on_interrupt);
    el_wset(el, EL_ADDFN, L"cria-line-end", L"Puts in a line end", on_line_end);
    el_wset(el, EL_ADDFN, L"cria-paste", L"Takes what is pasted", on_paste);
    el_wset(el, EL_ADDFN, L"cria-suspend", L"Stops the program for a while", on_suspend);
    el_source(el, NULL); /* the user's .editrc */
    el_wset(el, EL_SETTY, L"-d", L"-isig", NULL); /* Ctrl-C comes as a key */
    el_wset(el, EL_BIND, L"^C", L"cria-interrupt", NULL);
    el_wset(el, EL_BIND, L"^Z", L"cria-suspend", NULL);
    el_wset(el, EL_BIND, L"\\e\\r", L"cria-line-end", NULL);
    el_wset(el, EL_BIND, L"\\e\\n", L"cria-line-end", NULL);
    el_wset(el, EL_BIND, L"\\e[200~", L"cria-paste", NULL);
    el_wset(el, EL_BIND, L"^R", L"em-inc-search-prev", NULL);
}

/* ---- editing ---- */

static bool start_editing(struct lineedit *l) {
    HistEventW event;
    /* libedit takes characters as the locale has them, which is of bytes where none is set. */
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    l->el = el_init("cria", stdin, l->screen, stderr);
    l->history = history_winit();
    if (!l->el || !l->history) return false;
    history_w(l->history, &event, H_SETSIZE, HISTORY_MAX);
    history_w(l->history, &event, H_SETUNIQUE, 1);
    el_wset(l->el, EL_CLIENTDATA, l);
    el_wset(l->el, EL_PROMPT, prompt);
    el_wset(l->el, EL_HIST, history_w, l->history);
    el_wset(l->el, EL_SIGNAL, 1); /* a change of the window's size, and an end from outside */
    bind_keys(l->el);
    find_history(l);
    load_history(l);
    return true;
}

static enum lineedit_result read_edited(struct lineedit *l, struct text *out) {
    int n = 0;
    l->interrupted = false;
    term_catch_interrupt();
    fputs("\033[?2004h", l->screen); /* what is pasted comes between marks */
    fflush(l->screen);
    const wchar_t *line = el_wgets(l->el, &n);
    fputs("\033[?2004l", l->screen);
    if (!line || n <= 0) fputc('\n', l->screen);
    fflush(l->screen);
    if (l->interrupted || term_interrupted()) return LINEEDIT_CLEARED;
    if (!line || n <= 0) return LINEEDIT_END;
    size_t len = (size_t)n;
    if (line[len - 1] == L'\n') len--;
    if (narrow(line, len, out)) return LINEEDIT_READ;
    text_free(out);
    complain("Not enough memory for what was typed.");
    return LINEEDIT_FAILED;
}

#endif

/* ---- both ---- */

struct lineedit *lineedit_new(bool edit) {
    struct lineedit *l = calloc(1, sizeof *l);
    bool ok = l != NULL;
    if (ok) l->asks = term_stdin_is_terminal();
#ifdef CRIA_EDIT
    const char *term = getenv("TERM");
    if (ok && edit && l->asks && term && strcmp(term, "dumb") != 0) {
        l->screen = isatty(STDOUT_FILENO) == 1 ? stdout : isatty(STDERR_FILENO) == 1 ? stderr : NULL;
        if (l->screen) ok = start_editing(l);
    }
#else
    (void)edit;
#endif
    if (ok) return l;
    complain("Not enough memory to read what is typed.");
    lineedit_free(l);
    return NULL;
}

void lineedit_free(struct lineedit *l) {
    if (!l) return;
#ifdef CRIA_EDIT
    if (l->el) el_end(l->el);
    if (l->history) history_wend(l->history);
#endif
    free(l);
}

static enum lineedit_result read_line(struct lineedit *l, struct text *out) {
#ifdef CRIA_EDIT
    if (l->el) return read_edited(l, out);
#endif
    return read_plain(l, out);
}

enum lineedit_result lineedit_read(struct lineedit *l, struct text *out) {
    struct text all = {NULL, 0}, line;
    enum lineedit_result result;
    l->more = false;
    for (;;) {
        if ((result = read_line(l, &line)) != LINEEDIT_READ) break;
        const bool goes_on = line.len > 0 && line.data[line.len - 1] == '\\';
        const bool ok = text_append(&all, line.data, line.len - goes_on) && (!goes_on || text_append(&all, "\n", 1));
        text_free(&line);
        if (!ok) {
            complain("Not enough memory for what was typed.");
            result = LINEEDIT_FAILED;
            break;
        }
        if (!goes_on) break;
        l->more = true;
    }
    if (result == LINEEDIT_END && all.len > 0) result = LINEEDIT_READ; /* the input's end is the line's */
    if (result != LINEEDIT_READ) {
        text_free(&all);
        return result;
    }
#ifdef CRIA_EDIT
    if (l->el) remember(l, &all);
#endif
    *out = all;
    return LINEEDIT_READ;
}
