#pragma once
#include <stdbool.h>
#include <stddef.h>

// Maps `bytes` (a multiple of the page size) of fresh memory twice, back to back: what is written at offset i is read
// at i + bytes too, so that a ring's records are contiguous wherever they start. NULL on failure (errno is set).
void *voltlane_map_twice(size_t bytes);
void voltlane_unmap_twice(void *base, size_t bytes);

// Bytes that the allocator gave for this memory, including its own header.
size_t voltlane_allocated(void *memory);

// Reserves address space of zero pages that cost memory only once touched. NULL on failure.
void *voltlane_reserve(size_t bytes);
void voltlane_release(void *base, size_t bytes);

// Ends the process before it serves anybody: says on stderr that it cannot start, because there is no memory for that
// many bytes, and exits with 71 (EX_OSERR of sysexits.h).
_Noreturn void voltlane_cannot_start(size_t bytes);

// Gets a MiB of memory for small blocks of the calling thread, which the C library then keeps for it: the memory that a
// line of the log needs is there even when the system gives no more. Costs address space, and memory as it is used.
void voltlane_keep_room(void);

// Whether the calling thread can have `count` blocks of `bytes` bytes now, at most 7. If so, the next ones of that size
// that it asks for are certain: the C library keeps that many of each size for each thread.
bool voltlane_has_room(size_t bytes, int count);
