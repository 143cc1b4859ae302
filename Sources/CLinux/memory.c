#define _GNU_SOURCE
#include "memory.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *voltlane_map_twice(size_t bytes) {
  int fd = memfd_create("voltlane-ring", MFD_CLOEXEC);
  if (fd < 0) return NULL;
  void *base = MAP_FAILED;
  if (ftruncate(fd, (off_t)bytes) == 0)
    base = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base != MAP_FAILED) {
    for (int half = 0; half < 2; half++) {
      if (mmap((char *)base + half * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
          MAP_FAILED) {
        munmap(base, 2 * bytes);
        base = MAP_FAILED;
        break;
      }
    }
  }
  close(fd);
  return base == MAP_FAILED ? NULL : base;
}

void voltlane_unmap_twice(void *base, size_t bytes) { munmap(base, 2 * bytes); }

void *voltlane_reserve(size_t bytes) {
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return base == MAP_FAILED ? NULL : base;
}

void voltlane_release(void *base, size_t bytes) { munmap(base, bytes); }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

size_t voltlane_allocated(void *memory) {
  size_t cost = malloc_usable_size(memory) + sizeof(size_t);
#ifdef SANITIZED
  // A sanitizer's allocator gives exactly what was asked for: this is what the C library would have given.
  cost = (cost + 15) / 16 * 16;
  if (cost < 32) cost = 32;
#endif
  return cost;
}

void voltlane_cannot_start(size_t bytes) {
  char text[80];
  int count = snprintf(text, sizeof text, "cannot start: out of memory for %zu bytes\n", bytes);
  (void)!write(STDERR_FILENO, text, (size_t)count);
  _exit(71);
}

bool voltlane_has_room(size_t bytes, int count) {
  // A compiler may leave out blocks that nobody uses, and assume that there was room for them.
  void *(*volatile allocate)(size_t) = malloc;
  void (*volatile give_back)(void *) = free;
  void *blocks[7];
  bool has_room = count <= 7;
  int made = 0;
  while (has_room && made < count) {
    blocks[made] = allocate(bytes);
    if (blocks[made]) made++;
    else has_room = false;
  }
  while (made > 0) give_back(blocks[--made]);
  return has_room;
}

void voltlane_keep_room(void) {
  enum { block_bytes = 64 * 1024, blocks_kept = 16 };
  void *(*volatile allocate)(size_t) = malloc;
  void (*volatile give_back)(void *) = free;
  void *blocks[blocks_kept];
  for (int i = 0; i < blocks_kept; i++) blocks[i] = allocate(block_bytes);
  // Keeps the free blocks before it from being returned to the system.
  allocate(32);
  for (int i = 0; i < blocks_kept; i++) give_back(blocks[i]);
}
