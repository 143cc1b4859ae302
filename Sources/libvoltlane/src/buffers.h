/* The two queues of a connection: bytes that came, and packets that wait to be sent. */
#ifndef VLI_BUFFERS_H
#define VLI_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes that came, from `begin` to `end`, in one piece, so that a packet can be lent as it lies there. A packet that is
 * lent stays where it is until vli_inbox_take_back(): its block is neither moved nor freed.
 *
 *     0 <= begin <= end <= capacity, and is_lent wherever old_block is there */
struct vli_inbox {
  unsigned char *block;
  size_t begin, end, capacity;
  /* Of capacity, where there is nothing: what one read may bring. */
  size_t usual_capacity;
  bool is_lent;
  /* The block of the packet that is lent, where the others have moved to a new one. */
  unsigned char *old_block;
};

void vli_inbox_init(struct vli_inbox *inbox, size_t usual_capacity);
void vli_inbox_destroy(struct vli_inbox *inbox);

static inline size_t vli_inbox_size(const struct vli_inbox *inbox) {
  return inbox->end - inbox->begin;
}

static inline const unsigned char *vli_inbox_bytes(const struct vli_inbox *inbox) {
  /* No arithmetic on a null pointer. */
  return inbox->block ? inbox->block + inbox->begin : inbox->block;
}

/* Makes room for at least one byte behind `end`; for more where that costs nothing. `needed` is what the packet at the
 * front needs in all: memory grows with the bytes that came, towards that. False: out of
 * memory; nothing has changed. */
bool vli_inbox_make_room(struct vli_inbox *inbox, size_t needed);

/* Adds bytes; false where there is no memory for them. */
bool vli_inbox_append(struct vli_inbox *inbox, const void *bytes, size_t size);

/* Ends the loan. */
void vli_inbox_take_back(struct vli_inbox *inbox);

/* Packets that wait to be sent, whole, with their sizes before them: from `begin` to `end`. Of the first, `sent` bytes
 * are with the kernel.
 *
 *     0 <= begin <= end <= capacity, and sent is below the size of the packet at begin, or 0 where there is none */
struct vli_outbox {
  unsigned char *block;
  size_t begin, end, capacity;
  size_t sent;
  /* Bytes that were ever added, and that ever left: what lies between is queued. */
  uint64_t added, left;
};

void vli_outbox_destroy(struct vli_outbox *outbox);

static inline size_t vli_outbox_size(const struct vli_outbox *outbox) {
  return outbox->end - outbox->begin - outbox->sent;
}

/* Adds a packet, in pieces. `sent` bytes of it have gone already, which is possible only where it is the first. */
bool vli_outbox_append(struct vli_outbox *outbox, const struct iovec *pieces, int count, size_t sent);

/* What is to be written next. */
static inline const unsigned char *vli_outbox_bytes(const struct vli_outbox *outbox) {
  return outbox->block + outbox->begin + outbox->sent;
}

/* That many bytes are with the kernel. */
void vli_outbox_wrote(struct vli_outbox *outbox, size_t size);

/* The connection is lost: a packet of which a part has gone will go whole on the next. */
void vli_outbox_rewind(struct vli_outbox *outbox);

void vli_outbox_clear(struct vli_outbox *outbox);

#endif
