#define _GNU_SOURCE
#include "line.h"
#include "signals.h"
#include <errno.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// What a crash reports, and how soon the process is gone. Everything here that runs after the crash is safe in a signal
// handler, touches nothing that is allocated, and waits for nothing longer than the times below.
enum {
  // For the lines that are queued, then for the log to take the line of the crash.
  QUEUED_MILLISECONDS = 100,
  LINE_MILLISECONDS = 100,
  // For everything: then the process ends, whatever this is waiting for.
  LAST_MILLISECONDS = 500,
  FRAMES = 24,
  STACK = 64 << 10,
};

// The code of the process: only addresses in it are written, as offsets, because anything else on a stack may be data.
struct code {
  char name[32];
  uintptr_t base, start, end;
};
static struct code codes[64];
static int code_count;
static char program_name[32], program_version[32], build[2 * 20 + 1];

// The thread that reports, and the signal by which the process ends.
static atomic_int reporter, crash_signal;

static void copy(char *to, size_t size, const char *from) {
  strncpy(to, from, size - 1);
  to[size - 1] = 0;
}

static size_t padded(size_t size) { return (size + 3) & ~(size_t)3; }

static void note_build(const char *notes, size_t size) {
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    const ElfW(Nhdr) *header = (const void *)(notes + at);
    size_t id = at + sizeof *header + padded(header->n_namesz);
    at = id + padded(header->n_descsz);
    if (header->n_type != NT_GNU_BUILD_ID || header->n_namesz != sizeof "GNU" || at > size) continue;
    for (size_t index = 0; index < header->n_descsz && 2 * index < sizeof build - 1; index++) {
      unsigned char byte = (unsigned char)notes[id + index];
      build[2 * index] = "0123456789abcdef"[byte >> 4];
      build[2 * index + 1] = "0123456789abcdef"[byte & 15];
    }
  }
}

static int note_object(struct dl_phdr_info *object, size_t size, void *unused) {
  (void)size, (void)unused;
  // The program is the first, and the only one without a name.
  bool is_program = code_count == 0 && object->dlpi_name[0] == 0;
  const char *slash = strrchr(object->dlpi_name, '/');
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[index];
    uintptr_t start = object->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_NOTE && is_program) note_build((const char *)start, part->p_memsz);
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || code_count == sizeof codes / sizeof codes[0]) continue;
    struct code *code = &codes[code_count++];
    copy(code->name, sizeof code->name, is_program ? program_name : slash ? slash + 1 : object->dlpi_name);
    code->base = object->dlpi_addr;
    code->start = start;
    code->end = start + part->p_memsz;
  }
  return 0;
}

static bool add_place(struct line *line, uintptr_t address) {
  for (int index = 0; index < code_count; index++) {
    const struct code *code = &codes[index];
    if (address < code->start || address >= code->end) continue;
    line_add(line, code->name);
    line_add(line, "+0x");
    line_add_number(line, address - code->base, 16, 1);
    return true;
  }
  return false;
}

// Two words of the memory at `address`, about which nothing is known. A read that fails is not a crash.
static bool read_frame(uintptr_t address, uintptr_t words[2]) {
  struct iovec here = {.iov_base = words, .iov_len = 2 * sizeof words[0]};
  struct iovec there = {.iov_base = (void *)address, .iov_len = here.iov_len};
  return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)here.iov_len;
}

static void add_places(struct line *line, const ucontext_t *context) {
#if defined(__x86_64__)
  uintptr_t at = (uintptr_t)context->uc_mcontext.gregs[REG_RIP], frame = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
  uintptr_t at = context->uc_mcontext.pc, frame = context->uc_mcontext.regs[29];
#else
  uintptr_t at = 0, frame = 0;
#endif
  line_begin_field(line, "at");
  if (!add_place(line, at)) line_add(line, "?");
  uintptr_t words[2];
  for (int index = 0; index < FRAMES && frame % sizeof words[0] == 0 && read_frame(frame, words); index++) {
    size_t before = line->count;
    line_add(line, ",");
    // The call, not where it returns to.
    if (!add_place(line, words[1] - 1)) line->count = before;
    if (words[0] <= frame) break;
    frame = words[0];
  }
}

static const char *name_of(int signal) {
  switch (signal) {
  case SIGILL: return "SIGILL";
  case SIGTRAP: return "SIGTRAP";
  case SIGABRT: return "SIGABRT";
  case SIGBUS: return "SIGBUS";
  case SIGFPE: return "SIGFPE";
  case SIGSEGV: return "SIGSEGV";
  default: return "SIGSYS";
  }
}

static void make_line(struct line *line, int signal, const siginfo_t *info, const ucontext_t *context) {
  char thread[16] = "";
  prctl(PR_GET_NAME, thread);
  line_begin(line, LEVEL_CRITICAL);
  line_add(line, "crashed: ");
  line_add(line, name_of(signal));
  if (info->si_code <= 0) {
    line_add_count(line, "from-process", (unsigned long)info->si_pid);
  } else if (signal == SIGSYS) {
    line_add_count(line, "system-call", (unsigned long)info->si_syscall);
  } else {
    line_begin_field(line, "address");
    line_add(line, "0x");
    line_add_number(line, (uintptr_t)info->si_addr, 16, 1);
  }
  line_begin_field(line, "thread");
  line_add(line, thread);
  line_begin_field(line, "version");
  line_add(line, program_version);
  line_begin_field(line, "build");
  line_add(line, build[0] ? build : "?");
  add_places(line, context);
  line_end(line);
}

static void emit(const struct line *line) {
  struct pollfd writable = {.fd = log_destination(), .events = POLLOUT};
  if (poll(&writable, 1, LINE_MILLISECONDS) > 0 && writable.revents & POLLOUT)
    (void)!write(writable.fd, line->bytes, line->count);
}

// Ends the process by the signal of the crash, with a core file only where there is room for one.
static void die(int number) {
  struct rlimit cores;
  if (getrlimit(RLIMIT_CORE, &cores) < 0 || cores.rlim_cur == 0) prctl(PR_SET_DUMPABLE, 0);
  voltlane_die(number);
}

static void time_is_over(int unused) {
  (void)unused;
  die(atomic_load(&crash_signal));
}

static void crashed(int number, siginfo_t *info, void *context) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&reporter, &none, (int)gettid())) {
    // Another thread reports, and ends this one.
    if (none != (int)gettid())
      while (true) pause();
    die(number);
  }
  atomic_store(&crash_signal, number);
  signal(SIGALRM, time_is_over);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
  struct itimerval last = {.it_value = {.tv_usec = LAST_MILLISECONDS * 1000}};
  setitimer(ITIMER_REAL, &last, NULL);

  // The Swift runtime has just said why it ends the process.
  char bytes[1000];
  size_t length = log_take_foreign(bytes, sizeof bytes);
  struct timespec millisecond = {.tv_nsec = 1000000};
  for (int waited = 0; waited < QUEUED_MILLISECONDS && log_is_behind(); waited++) nanosleep(&millisecond, NULL);
  static struct line line;
  for (size_t at = 0; at < length;) {
    line_begin(&line, LEVEL_CRITICAL);
    at += line_add_foreign(&line, bytes + at, length - at);
    line_end(&line);
    emit(&line);
  }
  make_line(&line, number, info, context);
  emit(&line);
  die(number);
}

void voltlane_prepare_thread_for_crash(void) {
  void *memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t stack = {.ss_sp = memory, .ss_size = STACK};
  if (sigaltstack(&stack, NULL) < 0) munmap(memory, STACK);
}

void voltlane_prepare_for_crash(const char *program, const char *version) {
  copy(program_name, sizeof program_name, program);
  copy(program_version, sizeof program_version, version);
  dl_iterate_phdr(note_object, NULL);
  struct rlimit cores;
  if (getrlimit(RLIMIT_CORE, &cores) == 0) {
    cores.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &cores);
  }
  voltlane_prepare_thread_for_crash();
  // Other crashes wait until this one has been reported. One within the handler ends the process by itself.
  struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  sigdelset(&action.sa_mask, SIGALRM);
  const int signals[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
  for (size_t index = 0; index < sizeof signals / sizeof signals[0]; index++) sigaction(signals[index], &action, NULL);
}
