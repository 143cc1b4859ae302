#pragma once

#include <stdint.h>

// The kernel's number of the calling thread.
int voltlane_thread_id(void);

// What this process has had of the CPUs, in nanoseconds.
uint64_t voltlane_process_cpu_time(void);

// What a thread of this process has had of the CPUs since it began, in nanoseconds; zeros if there is no such thread.
struct voltlane_thread_times {
  uint64_t cpu;
  // It could have run, and waited for a CPU; 0 if the kernel does not say.
  uint64_t waited;
};
struct voltlane_thread_times voltlane_thread_times(int thread);

// For how long the CPUs on which this process may run have been idle, all added up, in nanoseconds; 0 if the kernel
// does not say, UINT64_MAX if it could not be asked this time.
uint64_t voltlane_idle_cpu_time(void);
