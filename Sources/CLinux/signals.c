#define _GNU_SOURCE
#include "signals.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// The one place that decides about signals. Operation.md has the same table for people.
enum decision {
  // Asks for the end.
  ends,
  // Asks for something else; kept during the start.
  asks,
  // Counts as a crash: crash.c has the handler.
  crashes,
  // Means nothing to the relay.
  ignored,
  // The kernel does not ask, or it belongs to a terminal or shell: to stop and to continue.
  untouched,
};

static enum decision decision(int signal) {
  switch (signal) {
  case SIGTERM:
  case SIGINT:
  case SIGQUIT:
    return ends;
  case SIGHUP:
  case SIGUSR1:
  case SIGUSR2:
    return asks;
  case SIGILL:
  case SIGTRAP:
  case SIGABRT:
  case SIGBUS:
  case SIGFPE:
  case SIGSEGV:
  case SIGSYS:
    return crashes;
  case SIGKILL:
  case SIGSTOP:
  case SIGTSTP:
  case SIGCONT:
    return untouched;
  default:
    // Among them SIGPIPE and SIGXFSZ, after which a write fails; SIGXCPU, because only the hard limit ends a server;
    // SIGTTOU, so that a log to a terminal stops nobody; and all real-time signals.
    return ignored;
  }
}

void voltlane_die(int number) {
  signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  raise(number);
  // Process 1 of a container cannot end itself by a signal.
  _exit(128 + number);
}

// Ends the process before it has started anything. As process 1 of a container it is spared by signals without a
// handler; and SIGQUIT would write a core file.
static void end_at_start(int number) {
  prctl(PR_SET_DUMPABLE, 0);
  voltlane_die(number);
}

static void add_all(sigset_t *set, enum decision which) {
  for (int number = 1; number < 32; number++)
    if (decision(number) == which) sigaddset(set, number);
}

static void ignore(int number) {
  // glibc keeps 32 and 33 to itself and refuses them. It takes them when it needs them; until then they would end the
  // process.
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
  } action = {.handler = SIG_IGN};
  if (signal(number, SIG_IGN) == SIG_ERR) syscall(SYS_rt_sigaction, number, &action, NULL, sizeof action.mask);
}

void voltlane_decide_signals(void) {
  // Whoever started the process may have blocked or ignored any of them.
  sigset_t kept;
  sigemptyset(&kept);
  add_all(&kept, asks);
  pthread_sigmask(SIG_SETMASK, &kept, NULL);
  for (int number = 1; number <= SIGRTMAX; number++) {
    switch (decision(number)) {
    case ends:
      // Without a handler if possible: that ends even a process that waits for a file server.
      signal(number, getpid() == 1 || number == SIGQUIT ? end_at_start : SIG_DFL);
      break;
    case ignored:
      ignore(number);
      break;
    case asks:
    case untouched:
      signal(number, SIG_DFL);
      break;
    case crashes:
      break;
    }
  }
}

int voltlane_take_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  add_all(&set, asks);
  add_all(&set, ends);
  int error = pthread_sigmask(SIG_SETMASK, &set, NULL);
  if (error) return -error;
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void voltlane_let_writes_fail(void) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}
