#pragma once
#include <sys/syscall.h>

// Makes the kernel refuse a system call, as a container's filter or an exhausted machine does. For tests.

// The calls that tests refuse, by the numbers that this architecture has for them.
enum {
  refusal_ring_setup = 425,
  refusal_ring_enter = 426,
  refusal_ring_register = 427,
  refusal_accept = __NR_accept4,
  refusal_epoll_ctl = __NR_epoll_ctl,
};

// From now on `call` fails with `error` in the calling thread and in all that it starts or becomes: always, or where
// its argument at the index `argument` (from 0; -1 for always) has one of the bits of `mask`. 0, or -errno.
int refusal_begin(int call, int argument, unsigned mask, int error);

// The same for starting threads.
int refusal_begin_threads(int error);
