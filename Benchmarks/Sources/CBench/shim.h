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

// A sampler of thread `thread`, not yet sampling: looks where it is, whenever it has run for so many nanoseconds.
static inline int cbench_sampler(unsigned long long nanoseconds, int thread) {
  struct perf_event_attr event = {
      .type = PERF_TYPE_SOFTWARE,
      .size = sizeof event,
      .config = PERF_COUNT_SW_CPU_CLOCK,
      .sample_period = nanoseconds,
      .sample_type = PERF_SAMPLE_IP,
      .disabled = 1};
  return (int)syscall(SYS_perf_event_open, &event, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

struct cbench_samples {
  unsigned long long all, user;
};

// Adds the samples in a sampler's mapped memory. Records are multiples of 8 bytes, as a header is, so none is split.
static inline void cbench_samples_add(const void *memory, struct cbench_samples *sum) {
  const struct perf_event_mmap_page *page = (const struct perf_event_mmap_page *)memory;
  const unsigned char *records = (const unsigned char *)memory + page->data_offset;
  unsigned long long head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
  for (unsigned long long at = 0; at < head;) {
    const struct perf_event_header *record = (const struct perf_event_header *)(records + at);
    if (record->type == PERF_RECORD_SAMPLE) {
      sum->all++;
      sum->user += (record->misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER;
    }
    at += record->size;
  }
}
