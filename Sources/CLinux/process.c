#define _GNU_SOURCE
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

int voltlane_wait(int signals, int first, int second, int third, int milliseconds) {
  struct pollfd fds[4] = {
      {.fd = signals, .events = POLLIN},
      {.fd = first, .events = POLLIN},
      {.fd = second, .events = POLLIN},
      {.fd = third, .events = POLLIN},
  };
  int count = poll(fds, 4, milliseconds);
  if (count == 0) return VOLTLANE_TIMEOUT;
  // Signals first: they must not wait behind a busy descriptor.
  struct signalfd_siginfo info;
  if (count > 0 && fds[0].revents && read(signals, &info, sizeof info) == sizeof info) return (int)info.ssi_signo;
  // Only an interruption can go wrong with open descriptors; the caller looks and waits again.
  return VOLTLANE_READABLE;
}

// The kernel refuses a set that is smaller than its own, which may be larger than cpu_set_t.
enum { MOST_CPUS = 8192 };

int voltlane_run_on(const int *cpus, int count) {
  cpu_set_t sets[MOST_CPUS / CPU_SETSIZE];
  CPU_ZERO_S(sizeof sets, sets);
  for (int index = 0; index < count; index++) CPU_SET_S((size_t)cpus[index], sizeof sets, sets);
  return sched_setaffinity(0, sizeof sets, sets) < 0 ? -errno : 0;
}

int voltlane_next_allowed_cpu(int cpu) {
  cpu_set_t sets[MOST_CPUS / CPU_SETSIZE];
  CPU_ZERO_S(sizeof sets, sets);
  if (sched_getaffinity(0, sizeof sets, sets) < 0) return -1;
  for (cpu++; cpu < MOST_CPUS; cpu++)
    if (CPU_ISSET_S((size_t)cpu, sizeof sets, sets)) return cpu;
  return -1;
}

unsigned long long voltlane_memory_bytes(void) {
  struct sysinfo info;
  if (sysinfo(&info) < 0) return 0;
  return (unsigned long long)info.totalram * info.mem_unit;
}

const char *voltlane_environment(int index) { return environ[index]; }

long voltlane_read_file(const char *path, void *buffer, size_t capacity) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t total = 0;
  while (total < capacity) {
    ssize_t count = read(fd, (char *)buffer + total, capacity - total);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      int error = errno;
      close(fd);
      return -error;
    }
    if (count == 0) break;
    total += (size_t)count;
  }
  close(fd);
  return (long)total;
}

void voltlane_write_all(int fd, const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    // A log that cannot be written must not stop the relay.
    if (written <= 0) return;
    bytes = (const char *)bytes + written;
    count -= (size_t)written;
  }
}

struct voltlane_time voltlane_utc_now(void) {
  struct timespec now;
  struct tm utc;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  return (struct voltlane_time){
      .year = utc.tm_year + 1900,
      .month = utc.tm_mon + 1,
      .day = utc.tm_mday,
      .hour = utc.tm_hour,
      .minute = utc.tm_min,
      .second = utc.tm_sec,
      .millisecond = (int)(now.tv_nsec / 1000000),
  };
}
