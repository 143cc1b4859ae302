#pragma once

// Pins the calling thread to one CPU and names it (15 characters). 0, or -errno.
int voltlane_pin_thread(int cpu);
void voltlane_name_thread(const char *name);

// A non-blocking eventfd, or -errno; and a signal on it.
int voltlane_eventfd(void);
void voltlane_eventfd_signal(int fd);
void voltlane_eventfd_clear(int fd);

// An eventfd that one thread signals and others wait on, one of them for each signal; or -errno.
int voltlane_semaphore(void);
void voltlane_semaphore_wait(int fd);

// Fills `bytes` from the system's random numbers; only waits if the system has just booted.
void voltlane_random(void *bytes, unsigned long count);

// Raises the soft limit of open descriptors to the hard one; returns the limit in effect.
void voltlane_raise_descriptor_limit(void);

// The same for the memory that may be locked.
void voltlane_raise_locked_memory_limit(void);

// How many descriptors the process may have, and how many once its limit has been raised.
unsigned long voltlane_descriptor_limit(void);
unsigned long voltlane_highest_descriptor_limit(void);

// Bytes of memory that the process, and in some of the kernel's counts all processes of its user, may have locked.
unsigned long voltlane_locked_memory_limit(void);
