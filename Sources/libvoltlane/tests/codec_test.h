/* Counts allocations, where no sanitizer has its own allocator. */
#ifndef CODEC_TEST_H
#define CODEC_TEST_H

#include <stdlib.h>

/* Volatile, as a compiler believes to know what malloc changes. */
static volatile long allocations;

#if defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 0
#else
#define COUNTS_ALLOCATIONS 1
/* glibc's own, under the names that it keeps for programs that put theirs in front. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size) {
  allocations++;
  return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) {
  allocations++;
  return __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size) {
  allocations++;
  return __libc_realloc(block, size);
}
#endif

#endif
