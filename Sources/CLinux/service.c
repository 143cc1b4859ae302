#define _GNU_SOURCE
#include "service.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int voltlane_open_notifier(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int voltlane_notify(int fd, const char *address, const void *message, size_t count) {
  struct sockaddr_un manager = {.sun_family = AF_UNIX};
  size_t length = strlen(address);
  if (length < 2 || length >= sizeof manager.sun_path || (address[0] != '/' && address[0] != '@')) return -EINVAL;
  memcpy(manager.sun_path, address, length);
  // A name that is no path begins with a zero, and ends where the address does.
  if (address[0] == '@') manager.sun_path[0] = 0;
  ssize_t sent = sendto(fd, message, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&manager,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  return sent < 0 ? -errno : 0;
}

static int option(int socket, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(socket, SOL_SOCKET, name, &value, &length) < 0 ? -errno : value;
}

int voltlane_is_listener(int descriptor) {
  if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  int domain = option(descriptor, SO_DOMAIN);
  // A file, a pipe.
  if (domain == -ENOTSOCK) return VOLTLANE_DOES_NOT_LISTEN;
  if (domain < 0) return domain;
  bool is_possible = domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX;
  bool listens = is_possible && option(descriptor, SO_TYPE) == SOCK_STREAM && option(descriptor, SO_ACCEPTCONN) == 1;
  return listens ? VOLTLANE_LISTENS : VOLTLANE_DOES_NOT_LISTEN;
}
