#define _GNU_SOURCE
#include "include/load.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Reads the start of a file of /proc as a string; false if it cannot be read.
static int read_start(const char *path, char *text, size_t capacity) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  size_t count = 0;
  while (count < capacity - 1) {
    ssize_t result = read(file, text + count, capacity - 1 - count);
    if (result <= 0) break;
    count += (size_t)result;
  }
  close(file);
  text[count] = 0;
  return count > 0;
}

int voltlane_thread_id(void) { return gettid(); }

static uint64_t read_clock(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) return 0;
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t voltlane_process_cpu_time(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

struct voltlane_thread_times voltlane_thread_times(int thread) {
  // The clock of a thread by the kernel's number of it: what pthread_getcpuclockid makes of the thread's handle. It
  // needs no file.
  struct voltlane_thread_times times = {read_clock((clockid_t)(~(unsigned)thread << 3 | 6)), 0};
  char path[64], text[128];
  snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", thread);
  if (!read_start(path, text, sizeof text)) return times;
  unsigned long long cpu, waited;
  if (sscanf(text, "%llu %llu", &cpu, &waited) == 2) times.waited = waited;
  return times;
}

uint64_t voltlane_idle_cpu_time(void) {
  // A line a CPU comes first, at most 200 bytes each; what follows is not needed.
  enum { most_cpus = 8192, capacity = most_cpus * 200 };
  cpu_set_t *allowed = CPU_ALLOC(most_cpus);
  size_t size = CPU_ALLOC_SIZE(most_cpus);
  if (!allowed || sched_getaffinity(0, size, allowed) != 0) {
    CPU_FREE(allowed);
    return UINT64_MAX;
  }
  char *text = malloc(capacity);
  if (!text) {
    CPU_FREE(allowed);
    return UINT64_MAX;
  }
  uint64_t ticks = 0;
  int asked = read_start("/proc/stat", text, capacity);
  // Without a descriptor or memory; where there is no such file, it will never say.
  int later = !asked && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
  if (asked) {
    for (char *line = strstr(text, "\ncpu"); line; line = strstr(line + 1, "\ncpu")) {
      unsigned long long user, nice, system, idle, waits;
      int cpu;
      if (sscanf(line, "\ncpu%d %llu %llu %llu %llu %llu", &cpu, &user, &nice, &system, &idle, &waits) != 6) continue;
      if (cpu >= 0 && CPU_ISSET_S(cpu, size, allowed)) ticks += idle + waits;
    }
  }
  free(text);
  CPU_FREE(allowed);
  if (later) return UINT64_MAX;
  return ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}
