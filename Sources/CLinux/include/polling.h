#pragma once
#include <errno.h>
#include <sys/epoll.h>

// epoll, as the relay uses it where there is no io_uring.

// What a registration asks for.
static const unsigned voltlane_poll_accept = EPOLLIN;
static const unsigned voltlane_poll_read = EPOLLIN | EPOLLRDHUP;
static const unsigned voltlane_poll_write = EPOLLOUT;
// What is reported without being asked for.
static const unsigned voltlane_poll_always = EPOLLERR | EPOLLHUP;
// Once for each time that it becomes so, not for as long as it is.
static const unsigned voltlane_poll_edge = EPOLLET;
// Of several instances that wait for the same, not all are woken.
static const unsigned voltlane_poll_exclusive = EPOLLEXCLUSIVE;

// An instance, or -errno.
int voltlane_poller(void);

// A registration of an instance: which descriptor, and a number that tells it from earlier ones of the same descriptor.
static inline int voltlane_poll_change(int poller, int operation, int descriptor, unsigned events, unsigned number) {
  struct epoll_event event = {.events = events,
                              .data.u64 = (unsigned long long)number << 32 | (unsigned)descriptor};
  return epoll_ctl(poller, operation, descriptor, &event) < 0 ? -errno : 0;
}

// How many events there are, up to `count`, or -errno. Sleeps until there are any if `sleeps`.
static inline int voltlane_poll(int poller, struct epoll_event *events, int count, int sleeps) {
  int found = epoll_wait(poller, events, count, sleeps ? -1 : 0);
  return found < 0 ? -errno : found;
}

// A client of the listener, or -errno. The socket does not block and is not inherited.
int voltlane_accept(int listener);

// A timer on the machine's clock (CLOCK_MONOTONIC), or -errno; and the moment of it, in nanoseconds, at which the timer
// becomes readable.
int voltlane_timer(void);
void voltlane_timer_set(int timer, unsigned long long moment);
