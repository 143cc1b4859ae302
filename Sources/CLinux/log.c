#define _GNU_SOURCE
#include "line.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// The queue is a ring of whole lines, some thousands of them: little compared with what else the relay holds. A write
// takes a part of it, so that the rest is soon free for others.
enum { QUEUE = 256 << 10, LARGEST_WRITE = 16 << 10 };
static char queue[QUEUE];

// Under the lock: where the oldest byte is, and how many there are. Only the writer moves the former, and it keeps what
// it is writing in the queue until it is written.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t written;
static size_t first;
static atomic_size_t count;
// Lines for which there was no room after what is queued, and lines that could not be written.
static unsigned long refused, lost;
// Both since the start.
static atomic_ulong dropped;

static int destination = STDERR_FILENO, wake = -1, foreign = -1;

int log_destination(void) { return destination; }
bool log_is_behind(void) { return atomic_load(&count) > 0; }

size_t log_take_foreign(char *bytes, size_t capacity) {
  ssize_t got = foreign < 0 ? 0 : read(foreign, bytes, capacity);
  return got < 0 ? 0 : (size_t)got;
}

// Under the lock.
static bool append(const char *line, size_t length) {
  size_t used = atomic_load(&count);
  if (length > QUEUE - used) return false;
  size_t at = (first + used) % QUEUE, straight = QUEUE - at < length ? QUEUE - at : length;
  memcpy(queue + at, line, straight);
  memcpy(queue, line + straight, length - straight);
  atomic_store(&count, used + length);
  return true;
}

static void make_note(struct line *note, unsigned long missing) {
  line_begin(note, LEVEL_WARNING);
  line_add(note, "lines are missing here: the log could not be written");
  line_add_count(note, "dropped", missing);
  line_end(note);
}

// Under the lock. Says first that lines are missing.
static bool append_after_note(const char *line, size_t length) {
  if (!refused) return append(line, length);
  struct line note;
  make_note(&note, refused);
  if (note.count + length > QUEUE - atomic_load(&count)) return false;
  append(note.bytes, note.count);
  refused = 0;
  return append(line, length);
}

void voltlane_log_write(const char *line, size_t length) {
  pthread_mutex_lock(&lock);
  if (!append_after_note(line, length)) {
    refused++;
    atomic_fetch_add(&dropped, 1);
  }
  pthread_mutex_unlock(&lock);
  uint64_t one = 1;
  (void)!write(wake, &one, sizeof one);
}

unsigned long voltlane_log_dropped(void) { return atomic_load(&dropped); }

// The last byte that was written, and whether its line was never finished.
static char last = '\n';
static bool is_cut;

// How many of the bytes were written: fewer than all after an error.
static size_t write_all(const char *bytes, size_t length) {
  if (destination < 0) return length;
  size_t done = 0;
  while (done < length) {
    ssize_t result = write(destination, bytes + done, length - done);
    if (result > 0) {
      done += (size_t)result;
      last = bytes[done - 1];
    } else if (result < 0 && errno == EAGAIN) {
      // Somebody who shares it has made it non-blocking.
      struct pollfd writable = {.fd = destination, .events = POLLOUT};
      poll(&writable, 1, -1);
    } else if (result == 0 || errno != EINTR) {
      break;
    }
  }
  return done;
}

// False after an error. What follows then begins a new line.
static bool write_lines(const char *bytes, size_t length, size_t *done) {
  *done = 0;
  if (is_cut && write_all("\n", 1) < 1) return false;
  is_cut = false;
  *done = write_all(bytes, length);
  if (*done == length) return true;
  is_cut = last != '\n';
  return false;
}

// Under the lock, which is released while it writes.
static void write_note_of_lost(void) {
  struct line note;
  unsigned long missing = lost;
  size_t done;
  make_note(&note, missing);
  pthread_mutex_unlock(&lock);
  bool is_written = write_lines(note.bytes, note.count, &done);
  pthread_mutex_lock(&lock);
  if (is_written) lost -= missing;
}

// Under the lock, which is released while it writes. Writes a part of what is queued, and drops a line that cannot be
// written.
static void write_oldest(void) {
  size_t used = atomic_load(&count), at = first, done;
  size_t length = QUEUE - at < used ? QUEUE - at : used;
  if (length > LARGEST_WRITE) length = LARGEST_WRITE;
  pthread_mutex_unlock(&lock);
  bool is_written = write_lines(queue + at, length, &done);
  pthread_mutex_lock(&lock);
  if (!is_written) {
    while (queue[(first + done) % QUEUE] != '\n') done++;
    done++;
    lost++;
    atomic_fetch_add(&dropped, 1);
  }
  first = (first + done) % QUEUE;
  atomic_fetch_sub(&count, done);
}

// Makes log lines of what others wrote to standard error.
static void take_foreign(void) {
  char bytes[1000];
  size_t length = log_take_foreign(bytes, sizeof bytes);
  for (size_t at = 0; at < length;) {
    struct line line;
    line_begin(&line, LEVEL_ERROR);
    at += line_add_foreign(&line, bytes + at, length - at);
    line_end(&line);
    voltlane_log_write(line.bytes, line.count);
  }
}

static void *write_log(void *unused) {
  (void)unused;
  pthread_setname_np(pthread_self(), "log");
  while (true) {
    struct pollfd readable[2] = {{.fd = wake, .events = POLLIN}, {.fd = foreign, .events = POLLIN}};
    // A full disk says so at once. Whether it still is full is tried with the next line, and once a second.
    poll(readable, 2, lost > 0 ? 1000 : -1);
    uint64_t signals;
    (void)!read(wake, &signals, sizeof signals);
    if (readable[1].revents) take_foreign();
    pthread_mutex_lock(&lock);
    if (lost > 0) write_note_of_lost();
    while (atomic_load(&count) > 0 || refused > 0) {
      if (atomic_load(&count) > 0) write_oldest();
      if (atomic_load(&count) == 0 && refused > 0) append_after_note("", 0);
    }
    pthread_cond_broadcast(&written);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

void voltlane_log_flush(int milliseconds) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += milliseconds / 1000;
  until.tv_nsec += milliseconds % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000L;
  }
  pthread_mutex_lock(&lock);
  while (atomic_load(&count) > 0 || refused > 0)
    if (pthread_cond_timedwait(&written, &lock, &until)) break;
  pthread_mutex_unlock(&lock);
}

static int start_writer(void) {
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&written, &clock);
  // It takes no signals except for its own crash: all others go to the main thread.
  const int crashes[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
  sigset_t all, before;
  sigfillset(&all);
  for (size_t index = 0; index < sizeof crashes / sizeof crashes[0]; index++) sigdelset(&all, crashes[index]);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, NULL, write_log, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error) pthread_detach(thread);
  return error;
}

bool voltlane_journal_reads(void) {
  const char *stream = getenv("JOURNAL_STREAM");
  unsigned long device, inode;
  struct stat state;
  return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(log_destination(), &state) == 0 &&
         state.st_dev == device && state.st_ino == inode;
}

int voltlane_log_begin(bool is_json) {
  line_set_form(is_json, voltlane_journal_reads());
  int ends[2] = {-1, -1};
  int error = 0;
  int original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  // It may be closed, and then there is no log.
  if (original < 0 && errno != EBADF) return -errno;
  wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
    error = errno;
  } else {
    destination = original;
    foreign = ends[0];
    error = start_writer();
    if (!error && dup2(ends[1], STDERR_FILENO) < 0) error = errno;
  }
  if (ends[1] >= 0) close(ends[1]);
  if (!error) return 0;
  // What is left to say goes where it always went.
  destination = STDERR_FILENO;
  return -error;
}
