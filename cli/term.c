/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Signal handlers have nothing else to write to. */
static volatile sig_atomic_t interrupted;

static void note_interrupt(int sig) {
    (void)sig;
    interrupted = 1;
}

void term_init(void) {
    /* open() takes the lowest free descriptor. A closed stdout must fail when written to: O_RDONLY for 1 and 2. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow further is an error of who writes it */
}

bool term_stdin_is_terminal(void) { return isatty(STDIN_FILENO) == 1; }

bool term_stdout_is_terminal(void) { return isatty(STDOUT_FILENO) == 1; }

/* no-color.org: set and not empty. */
bool term_colours(void) {
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    return term && strcmp(term, "dumb") != 0 && !(no && *no);
}

bool term_can_draw(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && term && strcmp(term, "dumb") != 0;
}

size_t term_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

/* A shell starts its background jobs with SIGINT ignored: the Ctrl-C is then meant for another program. */
static void catch(int signal_number) {
    struct sigaction action;
    if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) return;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* and no SA_RESTART: what waits is to return */
    sigaction(signal_number, &action, NULL);
}

void term_catch_interrupt(void) {
    interrupted = 0;
    catch(SIGINT);
}

void term_catch_end(void) {
    term_catch_interrupt();
    catch(SIGTERM);
    catch(SIGHUP);
}

bool term_interrupted(void) { return interrupted != 0; }

/* A signal just before a plain read() would be noted and the read block all the same; ppoll lets it in only while it
 * waits. */
bool term_wait_for_input(void) {
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &before);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!interrupted && ppoll(&input, 1, NULL, &before) < 0 && errno == EINTR) continue;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return interrupted == 0;
}
