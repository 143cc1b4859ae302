#include "buffers.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

/* A queue that has grown over this is given back when it is empty. */
#define KEPT_CAPACITY ((size_t)1 << 20)

void vli_inbox_init(struct vli_inbox *inbox, size_t usual_capacity) {
  memset(inbox, 0, sizeof *inbox);
  inbox->usual_capacity = usual_capacity;
}

void vli_inbox_destroy(struct vli_inbox *inbox) {
  free(inbox->block);
  free(inbox->old_block);
  memset(inbox, 0, sizeof *inbox);
}

/* Moves what is there to a block of another size. */
static bool move_to(struct vli_inbox *inbox, size_t capacity, bool keeps_block) {
  unsigned char *block = malloc(capacity);
  if (!block) return false;
  size_t size = vli_inbox_size(inbox);
  if (size > 0) memcpy(block, inbox->block + inbox->begin, size);
  if (keeps_block) {
    inbox->old_block = inbox->block;
  } else {
    free(inbox->block);
  }
  inbox->block = block;
  inbox->begin = 0;
  inbox->end = size;
  inbox->capacity = capacity;
  return true;
}

/* Doubles, but goes no further than the packet needs, where it is known to need more than is usual. */
static size_t larger(const struct vli_inbox *inbox, size_t needed) {
  size_t size = vli_inbox_size(inbox);
  size_t capacity = size < inbox->usual_capacity / 2 ? inbox->usual_capacity : 2 * size;
  if (needed > size && needed < capacity) capacity = needed;
  return capacity < inbox->usual_capacity ? inbox->usual_capacity : capacity;
}

bool vli_inbox_make_room(struct vli_inbox *inbox, size_t needed) {
  size_t size = vli_inbox_size(inbox);
  bool is_lent_here = inbox->is_lent && !inbox->old_block;
  if (size == 0 && !is_lent_here) {
    inbox->begin = inbox->end = 0;
    if (inbox->capacity > KEPT_CAPACITY) {
      free(inbox->block);
      inbox->block = NULL;
      inbox->capacity = 0;
    }
  }
  if (inbox->end < inbox->capacity) return true;
  if (is_lent_here) return move_to(inbox, larger(inbox, needed), true);
  if (inbox->begin >= size && inbox->begin > 0) {
    memmove(inbox->block, inbox->block + inbox->begin, size);
    inbox->begin = 0;
    inbox->end = size;
    return true;
  }
  if (inbox->begin > 0) return move_to(inbox, larger(inbox, needed), false);
  /* In place where the allocator can, as it can with large blocks. */
  size_t capacity = larger(inbox, needed);
  unsigned char *block = realloc(inbox->block, capacity);
  if (!block) return false;
  inbox->block = block;
  inbox->capacity = capacity;
  return true;
}

bool vli_inbox_append(struct vli_inbox *inbox, const void *bytes, size_t size) {
  const unsigned char *from = bytes;
  while (size > 0) {
    if (!vli_inbox_make_room(inbox, 0)) return false;
    size_t room = inbox->capacity - inbox->end;
    size_t count = size < room ? size : room;
    memcpy(inbox->block + inbox->end, from, count);
    inbox->end += count;
    from += count;
    size -= count;
  }
  return true;
}

void vli_inbox_take_back(struct vli_inbox *inbox) {
  inbox->is_lent = false;
  free(inbox->old_block);
  inbox->old_block = NULL;
}

void vli_outbox_destroy(struct vli_outbox *outbox) {
  free(outbox->block);
  memset(outbox, 0, sizeof *outbox);
}

static bool reserve(struct vli_outbox *outbox, size_t size) {
  size_t waiting = outbox->end - outbox->begin;
  if (outbox->capacity - outbox->end >= size) return true;
  if (outbox->capacity - waiting >= size && outbox->begin >= waiting) {
    memmove(outbox->block, outbox->block + outbox->begin, waiting);
  } else {
    size_t capacity = 2 * waiting > waiting + size ? 2 * waiting : waiting + size;
    if (capacity < 65536) capacity = 65536;
    unsigned char *block = malloc(capacity);
    if (!block) return false;
    if (waiting > 0) memcpy(block, outbox->block + outbox->begin, waiting);
    free(outbox->block);
    outbox->block = block;
    outbox->capacity = capacity;
  }
  outbox->begin = 0;
  outbox->end = waiting;
  return true;
}

bool vli_outbox_append(struct vli_outbox *outbox, const struct iovec *pieces, int count, size_t sent) {
  size_t size = 0;
  for (int i = 0; i < count; i++) size += pieces[i].iov_len;
  if (!reserve(outbox, size)) return false;
  if (outbox->begin == outbox->end) outbox->sent = sent;
  outbox->added += size;
  outbox->left += sent;
  for (int i = 0; i < count; i++) {
    if (pieces[i].iov_len == 0) continue;
    memcpy(outbox->block + outbox->end, pieces[i].iov_base, pieces[i].iov_len);
    outbox->end += pieces[i].iov_len;
  }
  return true;
}

void vli_outbox_wrote(struct vli_outbox *outbox, size_t size) {
  outbox->sent += size;
  outbox->left += size;
  while (outbox->begin < outbox->end) {
    size_t packet = 4 + (size_t)vli_get32(outbox->block + outbox->begin);
    if (outbox->sent < packet) return;
    outbox->begin += packet;
    outbox->sent -= packet;
  }
  outbox->begin = outbox->end = 0;
  if (outbox->capacity > KEPT_CAPACITY) {
    free(outbox->block);
    outbox->block = NULL;
    outbox->capacity = 0;
  }
}

void vli_outbox_rewind(struct vli_outbox *outbox) {
  outbox->left -= outbox->sent;
  outbox->sent = 0;
}

void vli_outbox_clear(struct vli_outbox *outbox) {
  outbox->begin = outbox->end = outbox->sent = 0;
  outbox->left = outbox->added;
}
