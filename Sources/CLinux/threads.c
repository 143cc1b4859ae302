#define _GNU_SOURCE
#include "threads.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

int voltlane_pin_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void voltlane_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int voltlane_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void voltlane_eventfd_signal(int fd) {
  uint64_t one = 1;
  // A full counter means that the signal is already there.
  (void)!write(fd, &one, sizeof one);
}

void voltlane_eventfd_clear(int fd) {
  uint64_t count;
  (void)!read(fd, &count, sizeof count);
}

int voltlane_semaphore(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
  return fd < 0 ? -errno : fd;
}

void voltlane_semaphore_wait(int fd) {
  uint64_t one;
  while (read(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void voltlane_random(void *bytes, unsigned long count) {
  for (unsigned long done = 0; done < count;) {
    ssize_t n = getrandom((char *)bytes + done, count - done, 0);
    if (n > 0) done += (unsigned long)n;
  }
}

void voltlane_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void voltlane_raise_locked_memory_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_MEMLOCK, &limit);
}

unsigned long voltlane_descriptor_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_cur;
}

unsigned long voltlane_highest_descriptor_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_max;
}

unsigned long voltlane_locked_memory_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? 0 : limit.rlim_cur;
}
