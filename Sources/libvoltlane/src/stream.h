/* Moving bytes between a socket and the queues of its connection, without waiting. */
#ifndef VLI_STREAM_H
#define VLI_STREAM_H

#include "buffers.h"

enum vli_io {
  /* Something was moved. */
  VLI_IO_DONE,
  /* Nothing can be moved now. */
  VLI_IO_AGAIN,
  /* The other side has closed in an orderly way. */
  VLI_IO_END,
  /* Reset, or lost; errno says how. */
  VLI_IO_LOST,
  /* There is no memory for it; nothing was moved, unless it is said otherwise. */
  VLI_IO_MEMORY
};

/* What collected packets may come to until they are written. More gains nothing. */
#define VLI_COLLECTED (64u << 10)

enum vli_io vli_stream_read(int socket, struct vli_inbox *inbox, size_t needed);

/* Writes what is queued. DONE: all of it is with the kernel. */
enum vli_io vli_stream_write(int socket, struct vli_outbox *outbox);

/* Adds a packet in pieces, and writes all that the kernel takes, straight from the pieces where it can. DONE and AGAIN:
 * written or queued. LOST: queued. MEMORY: not taken, except where `*is_broken` says that a part of it has gone and
 * the connection is of no use any more. */
enum vli_io vli_stream_send(
    int socket, struct vli_outbox *outbox, const struct iovec *pieces, int count, bool *is_broken);

#endif
