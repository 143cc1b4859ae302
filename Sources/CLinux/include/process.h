#pragma once
#include <stddef.h>

// The process as a whole: signals, CPUs, memory. Functions that can fail return -errno.

// Waits for a signal of `signals` (voltlane_take_signals), for one of the three descriptors to become readable (-1:
// there is none), or for `milliseconds` to pass (-1: for ever). Returns the signal's number, VOLTLANE_READABLE or
// VOLTLANE_TIMEOUT.
enum { VOLTLANE_READABLE = 0, VOLTLANE_TIMEOUT = -1 };
int voltlane_wait(int signals, int first, int second, int third, int milliseconds);

// Lets the calling thread, and those that it starts from now on, run only on these CPUs.
int voltlane_run_on(const int *cpus, int count);

// The first CPU above `cpu` on which this process may run, or -1 if there is none. Begin with -1.
int voltlane_next_allowed_cpu(int cpu);

// Bytes of the machine's memory.
unsigned long long voltlane_memory_bytes(void);

// The variable at `index` of the environment, as NAME=VALUE, or NULL after the last.
const char *voltlane_environment(int index);

// Reads the start of a file, at most `capacity` bytes. Returns how many. For the kernel's files, which never hang.
long voltlane_read_file(const char *path, void *buffer, size_t capacity);

// Writes all of it, waiting for the reader whatever it does.
void voltlane_write_all(int fd, const void *bytes, size_t count);

// The wall clock's time of day in UTC, to the millisecond.
struct voltlane_time {
  int year, month, day, hour, minute, second, millisecond;
};
struct voltlane_time voltlane_utc_now(void);
