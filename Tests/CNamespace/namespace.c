#define _GNU_SOURCE
#include "namespace.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int raise_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int result = ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
  close(fd);
  return result;
}

int namespace_set_ports(int first, int last) {
  int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  char range[32];
  int count = snprintf(range, sizeof range, "%d %d\n", first, last);
  int result = write(fd, range, (size_t)count) < 0 ? -errno : 0;
  close(fd);
  return result;
}

int namespace_enter(int first, int last) {
  if (unshare(CLONE_NEWNET) < 0) return -errno;
  int result = raise_loopback();
  return result < 0 ? result : namespace_set_ports(first, last);
}
