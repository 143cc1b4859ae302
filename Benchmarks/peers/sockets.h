// What the programs here have in common: addresses, listening, and how sockets are set up.
#pragma once
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  exit(1);
}

// Of every TCP socket; NULL leaves the machine's default.
static const char *congestion_control;

struct address {
  union {
    struct sockaddr any;
    struct sockaddr_storage storage;
    struct sockaddr_un unix_path;
  };
  socklen_t length;
};

// HOST:PORT, [HOST]:PORT or unix:/path
static bool resolve(const char *name, bool passive, struct address *a) {
  memset(a, 0, sizeof *a);
  if (!strncmp(name, "unix:", 5)) {
    if (strlen(name + 5) >= sizeof a->unix_path.sun_path) die("the path of '%s' is too long", name);
    a->unix_path.sun_family = AF_UNIX;
    strcpy(a->unix_path.sun_path, name + 5);
    a->length = sizeof a->unix_path;
    return true;
  }
  char host[256];
  const char *colon = strrchr(name, ':');
  if (!colon || colon == name || (size_t)(colon - name) >= sizeof host)
    die("'%s' is not HOST:PORT or unix:/path", name);
  memcpy(host, name, colon - name);
  host[colon - name] = 0;
  char *plain = host;
  if (plain[0] == '[' && plain[strlen(plain) - 1] == ']') plain[strlen(plain) - 1] = 0, plain++;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0}, *found;
  if (getaddrinfo(plain, colon + 1, &hints, &found)) return false;
  memcpy(&a->storage, found->ai_addr, found->ai_addrlen);
  a->length = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

static void set_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // of no effect on a unix socket
}

// A non-blocking socket for such an address.
static int stream_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket: %s", strerror(errno));
  if (congestion_control && family != AF_UNIX &&
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_control, strlen(congestion_control)))
    die("congestion control '%s': %s", congestion_control, strerror(errno));
  return fd;
}

// A listener; what it accepts inherits the congestion control, and the size of the receive buffer unless that is 0.
static int listen_at(const char *name, int receive_buffer) {
  struct address a;
  if (!resolve(name, true, &a)) die("cannot resolve '%s'", name);
  if (a.any.sa_family == AF_UNIX) unlink(a.unix_path.sun_path);
  int fd = stream_socket(a.any.sa_family);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (receive_buffer) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  if (bind(fd, &a.any, a.length) || listen(fd, 4096)) die("listen at %s: %s", name, strerror(errno));
  fprintf(stderr, "%s: listening at %s\n", program_invocation_short_name, name);
  return fd;
}

// As many open files as this process may have.
static void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}
