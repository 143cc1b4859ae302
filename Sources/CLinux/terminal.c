#define _GNU_SOURCE
#include "terminal.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

int voltlane_connect_unix(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

bool voltlane_is_terminal(int fd) { return isatty(fd) == 1; }

static struct termios before;
static volatile sig_atomic_t is_begun;

// The alternate screen, without a cursor; and back.
static const char enter[] = "\x1b[?1049h\x1b[?25l", leave[] = "\x1b[?25h\x1b[?1049l";

// Safe in a signal handler.
void voltlane_terminal_end(void) {
  if (!is_begun) return;
  is_begun = 0;
  (void)!write(STDOUT_FILENO, leave, sizeof leave - 1);
  tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void end_by(int number) {
  voltlane_terminal_end();
  signal(number, SIG_DFL);
  raise(number);
}

static void resized(int number) { (void)number; }

int voltlane_terminal_begin(void) {
  if (tcgetattr(STDIN_FILENO, &before) < 0) return -errno;
  struct termios raw = before;
  // Ctrl-C and Ctrl-Z are keys like others.
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
  raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  const int ends[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
  for (size_t index = 0; index < sizeof ends / sizeof ends[0]; index++) {
    struct sigaction action = {.sa_handler = end_by, .sa_flags = SA_NODEFER};
    sigaction(ends[index], &action, NULL);
  }
  struct sigaction action = {.sa_handler = resized};
  sigaction(SIGWINCH, &action, NULL);
  is_begun = 1;
  atexit(voltlane_terminal_end);
  if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
    int error = errno;
    is_begun = 0;
    return -error;
  }
  (void)!write(STDOUT_FILENO, enter, sizeof enter - 1);
  return 0;
}

void voltlane_terminal_size(int *columns, int *rows) {
  struct winsize size;
  bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
  *columns = is_known ? size.ws_col : 80;
  *rows = is_known ? size.ws_row : 24;
}
