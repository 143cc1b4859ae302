// What the Glibc module of Swift does not cover.
#include <linux/perf_event.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// A counter of the tracepoint `id` in thread `thread`, not yet counting; negative where that is not allowed. Reading it
// gives one u64.
static inline int cbench_tracepoint_counter(unsigned long long id, int thread) {
  struct perf_event_attr event = {
      .type = PERF_TYPE_TRACEPOINT, .size = sizeof event, .config = id, .disabled = 1};
  return (int)syscall(SYS_perf_event_open, &event, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static inline int cbench_counter_start(int counter) { return ioctl(counter, PERF_EVENT_IOC_ENABLE, 0); }
