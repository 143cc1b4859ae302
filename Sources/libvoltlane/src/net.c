#include "net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* What is thrown away of unread bytes when a connection is closed: more than a socket's buffer usually holds. */
#define DISCARDED (8u << 20)

int64_t vli_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t vli_deadline(int timeout) {
  return timeout < 0 ? VLI_NEVER : vli_now() + timeout;
}

static void set(int socket, int level, int name, int value) {
  /* An option that the system has not makes the connection no worse than it would be without us. */
  (void)setsockopt(socket, level, name, &value, sizeof value);
}

static int at_least_one(int value, int most) {
  return value < 1 ? 1 : value > most ? most : value;
}

static void configure(int socket, int family, int dead_after) {
  if (family == AF_UNIX) return;
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  if (dead_after < 0) return;
  /* Silent for half the time, then asked three times in the other half. The kernel takes whole seconds. */
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, at_least_one(dead_after / 2000, 32767));
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, at_least_one(dead_after / 6000, 32767));
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, at_least_one(dead_after, INT32_MAX));
}

int vli_connect(const struct vli_socket_address *address, int dead_after) {
  int family = address->storage.ss_family;
  int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  configure(descriptor, family, dead_after);
  if (connect(descriptor, (const struct sockaddr *)&address->storage, address->size) == 0) return descriptor;
  if (errno == EINPROGRESS || errno == EINTR) return descriptor;
  int error = errno;
  close(descriptor);
  errno = error;
  return -1;
}

int vli_connect_result(int socket) {
  struct pollfd poller = {.fd = socket, .events = POLLOUT};
  int count = poll(&poller, 1, 0);
  if (count < 0) return errno == EINTR ? EINPROGRESS : errno;
  if (count == 0) return EINPROGRESS;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)) return errno;
  return error;
}

bool vli_is_own_peer(int socket) {
  struct sockaddr_storage own, peer;
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  memset(&own, 0, sizeof own);
  memset(&peer, 0, sizeof peer);
  if (getsockname(socket, (struct sockaddr *)&own, &own_size)) return false;
  if (getpeername(socket, (struct sockaddr *)&peer, &peer_size)) return false;
  return own.ss_family != AF_UNIX && own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

/* Removes the file of a unix socket on which nobody listens any more. */
static void remove_left_over(const struct vli_socket_address *address) {
  struct sockaddr_un path;
  struct stat status;
  memcpy(&path, &address->storage, sizeof path);
  if (lstat(path.sun_path, &status) || !S_ISSOCK(status.st_mode)) return;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return;
  if (connect(probe, (const struct sockaddr *)&path, sizeof path) && errno == ECONNREFUSED) unlink(path.sun_path);
  close(probe);
}

int vli_listen(const struct vli_socket_address *address, int *error) {
  int family = address->storage.ss_family;
  if (family == AF_UNIX) remove_left_over(address);
  int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor >= 0) {
    if (family != AF_UNIX) set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(descriptor, (const struct sockaddr *)&address->storage, address->size) == 0 &&
        listen(descriptor, 64) == 0) {
      return descriptor;
    }
  }
  *error = errno;
  if (descriptor >= 0) close(descriptor);
  return -1;
}

int vli_accept(int listener, int dead_after) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  int descriptor = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) configure(descriptor, peer.ss_family, dead_after);
  return descriptor;
}

void vli_hang_up(int descriptor) {
  char waste[16384];
  shutdown(descriptor, SHUT_WR);
  for (size_t count = 0; count < DISCARDED;) {
    ssize_t size = recv(descriptor, waste, sizeof waste, MSG_DONTWAIT);
    if (size <= 0) break;
    count += (size_t)size;
  }
  close(descriptor);
}
