#include "stream.h"

#include <errno.h>
#include <sys/socket.h>

enum vli_io vli_stream_read(int socket, struct vli_inbox *inbox, size_t needed) {
  if (!vli_inbox_make_room(inbox, needed)) return VLI_IO_MEMORY;
  for (;;) {
    ssize_t count = recv(socket, inbox->block + inbox->end, inbox->capacity - inbox->end, MSG_DONTWAIT);
    if (count > 0) {
      inbox->end += (size_t)count;
      return VLI_IO_DONE;
    }
    if (count == 0) return VLI_IO_END;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return VLI_IO_AGAIN;
    if (errno != EINTR) return VLI_IO_LOST;
  }
}

enum vli_io vli_stream_write(int socket, struct vli_outbox *outbox) {
  while (vli_outbox_size(outbox) > 0) {
    ssize_t count =
        send(socket, vli_outbox_bytes(outbox), vli_outbox_size(outbox), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      vli_outbox_wrote(outbox, (size_t)count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return VLI_IO_AGAIN;
    } else if (errno != EINTR) {
      return VLI_IO_LOST;
    }
  }
  return VLI_IO_DONE;
}

enum vli_io vli_stream_send(
    int socket, struct vli_outbox *outbox, const struct iovec *pieces, int count, bool *is_broken) {
  *is_broken = false;
  if (vli_outbox_size(outbox) > 0) {
    if (!vli_outbox_append(outbox, pieces, count, 0)) return VLI_IO_MEMORY;
    return vli_stream_write(socket, outbox);
  }
  size_t size = 0;
  for (int i = 0; i < count; i++) size += pieces[i].iov_len;
  /* The system call does not change the pieces; its type only does not say so. */
  struct iovec vector[4];
  for (int i = 0; i < count; i++) vector[i] = pieces[i];
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = (size_t)count};
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0 && (size_t)sent == size) return VLI_IO_DONE;
  int error = errno;
  if (!vli_outbox_append(outbox, pieces, count, sent < 0 ? 0 : (size_t)sent)) {
    *is_broken = sent > 0;
    return VLI_IO_MEMORY;
  }
  errno = error;
  return sent >= 0 || error == EAGAIN || error == EWOULDBLOCK ? VLI_IO_AGAIN : VLI_IO_LOST;
}
