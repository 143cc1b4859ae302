#define _GNU_SOURCE
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

// The descriptor that `path` is another name for, or -1.
static int own_descriptor(const char *path) {
  if (strcmp(path, "/dev/stdin") == 0) return 0;
  static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
  for (int index = 0; index < 2; index++) {
    size_t length = strlen(folders[index]);
    if (strncmp(path, folders[index], length) != 0) continue;
    char *end;
    long number = strtol(path + length, &end, 10);
    if (end != path + length && *end == 0 && number >= 0 && number <= 1 << 20) return (int)number;
  }
  return -1;
}

int voltlane_open_file(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0) return fd;
  int error = errno;
  // A socket cannot be opened again, but it is open.
  int own = error == ENXIO ? own_descriptor(path) : -1;
  if (own < 0) return -error;
  fd = fcntl(own, F_DUPFD_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

static enum voltlane_file_kind kind(const struct stat *status) {
  switch (status->st_mode & S_IFMT) {
    case S_IFREG: return VOLTLANE_REGULAR;
    case S_IFIFO: return VOLTLANE_PIPE;
    case S_IFSOCK: return VOLTLANE_SOCKET;
    case S_IFDIR: return VOLTLANE_FOLDER;
    case S_IFCHR:
      if (status->st_rdev == makedev(1, 3)) return VOLTLANE_EMPTY;
      // Virtual consoles and serial lines, the two generic ones, and pseudo-terminals.
      if (major(status->st_rdev) == 4 || major(status->st_rdev) == 5) return VOLTLANE_TERMINAL;
      if (major(status->st_rdev) >= 136 && major(status->st_rdev) <= 143) return VOLTLANE_TERMINAL;
      return VOLTLANE_DEVICE;
    default: return VOLTLANE_DEVICE;
  }
}

static int take(int result, const struct stat *status, struct voltlane_file_state *state) {
  if (result < 0) return -errno;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *state = (struct voltlane_file_state){
      .kind = kind(status),
      .device = status->st_dev,
      .inode = status->st_ino,
      .size = status->st_size,
      .changed = status->st_ctim.tv_sec * 1000000000LL + status->st_ctim.tv_nsec,
      .now = now.tv_sec * 1000000000LL + now.tv_nsec,
  };
  return 0;
}

int voltlane_file_state(int fd, struct voltlane_file_state *state) {
  struct stat status;
  return take(fstat(fd, &status), &status, state);
}

int voltlane_named_file_state(const char *path, struct voltlane_file_state *state) {
  struct stat status;
  return take(stat(path, &status), &status, state);
}

long voltlane_read_within(int fd, void *buffer, size_t capacity, int milliseconds) {
  // Asked first: a read finds a pipe that nobody has opened for writing yet at its end, but poll() does not.
  struct pollfd watched = {.fd = fd, .events = POLLIN};
  int ready = poll(&watched, 1, milliseconds);
  if (ready < 0) return errno == EINTR ? -ETIMEDOUT : -errno;
  if (ready == 0) return -ETIMEDOUT;
  ssize_t count = read(fd, buffer, capacity);
  if (count < 0) return errno == EINTR || errno == EAGAIN ? -ETIMEDOUT : -errno;
  return count;
}

int voltlane_is_open_for_writing(int fd) {
  // A lease for reading is refused if the file is open for writing. A lease that is granted goes back at once; a writer
  // that arrives in between would send its holder a signal, so the signal is one that does nothing by itself.
  if (fcntl(fd, F_SETSIG, SIGURG) < 0) return 0;
  if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) return errno == EAGAIN;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return 0;
}

void voltlane_close_file(int fd) { close(fd); }

void voltlane_sleep(int milliseconds) {
  struct timespec rest = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
  while (nanosleep(&rest, &rest) < 0 && errno == EINTR) {
  }
}

void voltlane_occupy_standard_streams(void) {
  for (int fd = 0; fd < 3; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number. Opened the wrong way round: what is written there must not seem to have arrived.
    int opened = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    if (opened >= 0 && opened != fd) {
      dup2(opened, fd);
      close(opened);
    }
  }
}

int voltlane_write(int fd, const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      // Somebody else made the terminal or the pipe non-blocking.
      struct pollfd watched = {.fd = fd, .events = POLLOUT};
      poll(&watched, 1, -1);
      continue;
    }
    if (written <= 0) return written < 0 ? -errno : -EIO;
    bytes = (const char *)bytes + written;
    count -= (size_t)written;
  }
  return 0;
}

struct work {
  char name[16];
  void (*body)(void *);
  void *argument;
};

static void *run(void *argument) {
  struct work work = *(struct work *)argument;
  free(argument);
  pthread_setname_np(pthread_self(), work.name);
  work.body(work.argument);
  return NULL;
}

int voltlane_run_detached(const char *name, void (*body)(void *), void *argument) {
  struct work *work = malloc(sizeof *work);
  if (!work) return -ENOMEM;
  *work = (struct work){.body = body, .argument = argument};
  strncpy(work->name, name, sizeof work->name - 1);
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (!error) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, run, work);
    pthread_attr_destroy(&attributes);
  }
  if (error) free(work);
  return -error;
}
