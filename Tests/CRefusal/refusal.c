#define _GNU_SOURCE
#include "refusal.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

_Static_assert(refusal_ring_setup == __NR_io_uring_setup && refusal_ring_enter == __NR_io_uring_enter &&
                   refusal_ring_register == __NR_io_uring_register,
               "every architecture has these numbers");

// Low halves of arguments come first on little-endian machines, which are all that there are here.
int refusal_begin(int call, int argument, unsigned mask, int error) {
  unsigned refused = SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA);
  unsigned data = argument < 0 ? offsetof(struct seccomp_data, nr)
                               : (unsigned)(offsetof(struct seccomp_data, args) + 8 * (unsigned)argument);
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, data),
      argument < 0 ? (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1)
                   : (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, refused),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

int refusal_begin_threads(int error) {
  // What a filter cannot look into, as its flags are in memory; glibc then takes the older call.
  int result = refusal_begin(__NR_clone3, -1, 0, ENOSYS);
  return result < 0 ? result : refusal_begin(__NR_clone, 0, CLONE_THREAD, error);
}
