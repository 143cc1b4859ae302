// refusing threads|setup|enter|register ERRNO PROGRAM [ARGUMENT]...: runs a program for which the kernel refuses to
// start threads, or a call of io_uring, with this error number.
#include "refusal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
  if (count < 4) return 64;
  const char *what = arguments[1];
  int error = atoi(arguments[2]);
  int result = strcmp(what, "threads") == 0    ? refusal_begin_threads(error)
               : strcmp(what, "setup") == 0    ? refusal_begin(refusal_ring_setup, -1, 0, error)
               : strcmp(what, "enter") == 0    ? refusal_begin(refusal_ring_enter, -1, 0, error)
               : strcmp(what, "register") == 0 ? refusal_begin(refusal_ring_register, -1, 0, error)
                                               : -1;
  if (result < 0) {
    fprintf(stderr, "refusing: no filter: %s\n", strerror(-result));
    return 69;
  }
  execv(arguments[3], arguments + 3);
  perror(arguments[3]);
  return 69;
}
