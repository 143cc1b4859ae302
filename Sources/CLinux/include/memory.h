#pragma once
#include <stddef.h>

// Maps `bytes` (a multiple of the page size) of fresh memory twice, back to back: what is written at offset i is read
// at i + bytes too, so that a ring's records are contiguous wherever they start. NULL on failure (errno is set).
void *voltlane_map_twice(size_t bytes);
void voltlane_unmap_twice(void *base, size_t bytes);

// Bytes that the allocator gave for this memory, its own header among them.
size_t voltlane_allocated(void *memory);

// Reserves address space of zero pages that cost memory only once touched. NULL on failure.
void *voltlane_reserve(size_t bytes);
void voltlane_release(void *base, size_t bytes);
