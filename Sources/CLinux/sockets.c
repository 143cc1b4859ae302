#define _GNU_SOURCE
#include "sockets.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static int set_int(int socket, int level, int name, int value) {
  return setsockopt(socket, level, name, &value, sizeof value);
}

static int failed(int socket) {
  int error = errno;
  close(socket);
  return -error;
}

static int set_tcp(int socket, const char *congestion_control) {
  if (set_int(socket, IPPROTO_TCP, TCP_NODELAY, 1) < 0) return -1;
  if (congestion_control)
    return setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, congestion_control, (socklen_t)strlen(congestion_control));
  return 0;
}

int voltlane_listen(const struct sockaddr *address, socklen_t length, int backlog, int receive_buffer,
                    const char *congestion_control) {
  int tcp = address->sa_family != AF_UNIX;
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (tcp) {
    if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
        set_tcp(fd, congestion_control) < 0)
      return failed(fd);
    // [::] listens on IPv6 alone, so that 0.0.0.0 and [::] can both be given.
    if (address->sa_family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) return failed(fd);
    if (receive_buffer && set_int(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer) < 0) return failed(fd);
  }
  if (bind(fd, address, length) < 0 || listen(fd, backlog) < 0) return failed(fd);
  return fd;
}

int voltlane_dial(const struct sockaddr *address, socklen_t length, const char *congestion_control) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (address->sa_family != AF_UNIX && set_tcp(fd, congestion_control) < 0) return failed(fd);
  if (connect(fd, address, length) < 0 && errno != EINPROGRESS) return failed(fd);
  return fd;
}

int voltlane_dial_result(int socket) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
  if (error) return -error;
  // Writable without an error can still mean "not yet" on a spurious wake: only a peer proves the connection.
  struct sockaddr_storage peer;
  length = sizeof peer;
  return getpeername(socket, (struct sockaddr *)&peer, &length) < 0 ? -errno : 0;
}

void voltlane_reset_on_close(int socket) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int voltlane_check_free(const struct sockaddr *address, socklen_t length) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0) return failed(fd);
  if (address->sa_family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) return failed(fd);
  if (bind(fd, address, length) < 0) return failed(fd);
  close(fd);
  return 0;
}
