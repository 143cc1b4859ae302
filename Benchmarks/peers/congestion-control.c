// Gives every TCP socket that a program makes the congestion control named in CONGESTION_CONTROL: for peers that have
// no flag for it, by LD_PRELOAD. What a listener accepts inherits its own.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol) {
  int (*next)(int, int, int);
  *(void **)&next = dlsym(RTLD_NEXT, "socket");
  int fd = next(domain, type, protocol);
  const char *name = getenv("CONGESTION_CONTROL");
  int is_stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
  if (fd < 0 || !name || !is_stream || (domain != AF_INET && domain != AF_INET6)) return fd;
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name))) {
    perror(name);
    exit(1);
  }
  return fd;
}
