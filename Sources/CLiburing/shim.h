// liburing 2.3 or later (Debian 12: liburing-dev).
//
// Without the three lines about fds_bits a debug build fails with "'__fds_bits' from module 'SwiftGlibc' is not
// present": liburing.h pulls in <sys/select.h> with _GNU_SOURCE, where the field has its other name.
#pragma once
#define fds_bits __fds_bits
#include <sys/select.h>
#undef fds_bits
#include <liburing.h>

// True when the kernel holds completions that only an enter hands over (DEFER_TASKRUN with TASKRUN_FLAG), or that did
// not fit into the completion queue. Not importable as written in liburing: the flags are read through a macro.
static inline int voltlane_ring_wants_enter(const struct io_uring *ring) {
  unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

// True when there is no completion to take, neither in the queue nor behind an enter.
static inline bool voltlane_ring_is_idle(const struct io_uring *ring) {
  return !voltlane_ring_wants_enter(ring) && io_uring_cq_ready(ring) == 0;
}

// True when completions wait for room in the queue.
static inline int voltlane_ring_overflows(const struct io_uring *ring) {
  return (__atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

// Constants whose macros Swift does not import.
static const unsigned voltlane_skip_success = IOSQE_CQE_SKIP_SUCCESS;
// A feature of Linux 6.10 (IORING_FEAT_RECVSEND_BUNDLE, which older headers lack). From some release before it on, a
// thread that waits for several completions is not woken by the first.
static const unsigned voltlane_wakes_lazily = 1U << 14;
static const unsigned voltlane_more = IORING_CQE_F_MORE;
