#define _GNU_SOURCE
#include "memory.h"
#include <malloc.h>
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

size_t voltlane_allocated(void *memory) { return malloc_usable_size(memory) + sizeof(size_t); }
