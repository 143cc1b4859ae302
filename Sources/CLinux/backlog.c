#include "sockets.h"
#include <linux/sockios.h>
// Not <netinet/tcp.h>, whose tcp_info may end before what is asked for here.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>

struct voltlane_backlog voltlane_backlog_of(int socket) {
  struct voltlane_backlog backlog = {0, false, 0};
  if (ioctl(socket, SIOCOUTQ, &backlog.waiting) < 0) backlog.waiting = 0;
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return backlog;
  if (length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) return backlog;
  backlog.is_stream_of_bytes = true;
  backlog.taken = info.tcpi_bytes_acked;
  return backlog;
}
