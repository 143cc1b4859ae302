#define _GNU_SOURCE
#include "allocator_door.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// glibc's own, under their other names.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

// The program's own code. What the Swift runtime asks for comes from a library, and it cannot bear a refusal.
extern char __executable_start, etext;

static _Bool inside;
static long held;
static long fails_in;

// The blocks that the relay has: a hash table with linear probing. 0 is free, 1 was in use.
enum { slots = 1 << 20 };
static uintptr_t table[slots];

static size_t place(uintptr_t block) { return (block >> 4) * 0x9e3779b97f4a7c15u >> 44; }

static long cost(void *block) { return (long)malloc_usable_size(block) + 8; }

static void *note(void *block) {
  if (!block || !inside) return block;
  for (size_t at = place((uintptr_t)block);; at = (at + 1) % slots) {
    if (table[at] > 1) continue;
    table[at] = (uintptr_t)block;
    break;
  }
  held += cost(block);
  return block;
}

static _Bool forget(void *block) {
  for (size_t at = place((uintptr_t)block); table[at]; at = (at + 1) % slots) {
    if (table[at] != (uintptr_t)block) continue;
    table[at] = table[(at + 1) % slots] ? 1 : 0;
    held -= cost(block);
    return 1;
  }
  return 0;
}

static _Bool is_refused(void *caller) {
  if (!inside || fails_in == 0) return 0;
  if ((char *)caller < &__executable_start || (char *)caller >= &etext) return 0;
  return --fails_in == 0;
}

void *malloc(size_t size) {
  if (is_refused(__builtin_return_address(0))) {
    errno = ENOMEM;
    return NULL;
  }
  return note(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) { return note(__libc_calloc(count, size)); }

void *realloc(void *block, size_t size) {
  if (is_refused(__builtin_return_address(0))) {
    errno = ENOMEM;
    return NULL;
  }
  _Bool was_inside = block && forget(block);
  void *result = __libc_realloc(block, size);
  _Bool is_inside = inside;
  inside = is_inside || was_inside;
  note(result ? result : size ? block : NULL);
  inside = is_inside;
  return result;
}

void free(void *block) {
  if (!block) return;
  forget(block);
  __libc_free(block);
}

void *memalign(size_t alignment, size_t size) { return note(__libc_memalign(alignment, size)); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
  void *block = memalign(alignment, size);
  if (!block) return ENOMEM;
  *result = block;
  return 0;
}

void allocator_door_set_inside(_Bool is_inside) { inside = is_inside; }
long allocator_door_held(void) { return held; }
void allocator_door_fail(long number) { fails_in = number; }

void allocator_door_begin(void) {
  inside = 0;
  fails_in = 0;
  held = 0;
  memset(table, 0, sizeof table);
}
