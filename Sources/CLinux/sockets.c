#define _GNU_SOURCE
#include "sockets.h"
#include <endian.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// The kernel's number, which glibc's headers leave out.
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

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

struct voltlane_probes voltlane_keepalive_probes(int seconds) {
  int interval = seconds / 3 > 0 ? seconds / 3 : 1;
  return (struct voltlane_probes){.interval = interval, .count = (2 * seconds + interval) / (2 * interval)};
}

static int set_keepalive(int socket, int seconds) {
  if (!seconds) return 0;
  struct voltlane_probes probes = voltlane_keepalive_probes(seconds);
  if (set_int(socket, SOL_SOCKET, SO_KEEPALIVE, 1) < 0 || set_int(socket, IPPROTO_TCP, TCP_KEEPIDLE, seconds) < 0 ||
      set_int(socket, IPPROTO_TCP, TCP_KEEPINTVL, probes.interval) < 0)
    return -1;
  return set_int(socket, IPPROTO_TCP, TCP_KEEPCNT, probes.count);
}

void voltlane_set_user_timeout(int socket, unsigned milliseconds, unsigned unanswered) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return;
  // A window that is closed is probed too, but then something is outstanding.
  if (info.tcpi_probes > 0 && voltlane_unacknowledged(socket) == 0) milliseconds = unanswered;
  unsigned now = 0;
  length = sizeof now;
  if (getsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &now, &length) < 0 || now == milliseconds) return;
  set_int(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)milliseconds);
}

// Lets a socket be bound to an address that no interface has yet.
static int set_before_address(int socket, int family) {
  return family == AF_INET6 ? set_int(socket, IPPROTO_IPV6, IPV6_FREEBIND, 1)
                            : set_int(socket, IPPROTO_IP, IP_FREEBIND, 1);
}

// What accepted sockets inherit, and may still be set once a socket is bound.
static int set_inherited(int socket, struct voltlane_listen_options options) {
  if (set_tcp(socket, options.congestion_control) < 0 || set_keepalive(socket, options.keepalive) < 0) return -1;
  if (options.user_timeout && set_int(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options.user_timeout) < 0) return -1;
  if (options.defer_accept && set_int(socket, IPPROTO_TCP, TCP_DEFER_ACCEPT, options.defer_accept) < 0) return -1;
  return set_int(socket, SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
}

int voltlane_listen(const struct sockaddr *address, socklen_t length, struct voltlane_listen_options options) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
      set_inherited(fd, options) < 0)
    return failed(fd);
  // [::] listens on IPv6 alone, so that 0.0.0.0 and [::] can both be given.
  if (address->sa_family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) return failed(fd);
  if (options.before_address && set_before_address(fd, address->sa_family) < 0) return failed(fd);
  if (bind(fd, address, length) < 0 || listen(fd, options.backlog) < 0) return failed(fd);
  return fd;
}

int voltlane_adopt_listener(int socket, struct voltlane_listen_options options) {
  int domain = AF_UNIX;
  socklen_t length = sizeof domain;
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0) return -errno;
  if (fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK) < 0) return -errno;
  if (domain != AF_UNIX && set_inherited(socket, options) < 0) return -errno;
  // Sets the length of its queue.
  return listen(socket, options.backlog) < 0 ? -errno : 0;
}

// A socket file as it was bound: `file` is an O_PATH descriptor, which stays with that file whatever happens to its
// path. chmod and chown by path would follow a link that somebody put there meanwhile.
static int set_owner(int file, int mode, long long group) {
  if (group >= 0 && fchownat(file, "", (uid_t)-1, (gid_t)group, AT_EMPTY_PATH) < 0) return -1;
  if (mode < 0) return 0;
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  return chmod(path, (mode_t)mode);
}

int voltlane_listen_unix(const char *path, struct voltlane_unix_options options, struct voltlane_file *file) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // The file gets the mode of its socket, minus the umask: at no time may more processes connect than are meant to.
  if (options.mode >= 0 && fchmod(fd, (mode_t)options.mode) < 0) return failed(fd);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return failed(fd);
  int bound = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat information;
  if (bound < 0 || fstat(bound, &information) < 0 || set_owner(bound, options.mode, options.group) < 0 ||
      listen(fd, options.backlog) < 0) {
    int error = errno;
    if (bound >= 0) close(bound);
    unlink(path);
    close(fd);
    return -error;
  }
  close(bound);
  *file = (struct voltlane_file){.device = information.st_dev, .inode = information.st_ino};
  return fd;
}

bool voltlane_remove_file(const char *path, struct voltlane_file file) {
  struct stat information;
  if (lstat(path, &information) < 0 || information.st_dev != file.device || information.st_ino != file.inode)
    return false;
  return unlink(path) == 0;
}

int voltlane_lock_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -errno;
  return flock(folder, LOCK_EX | LOCK_NB) < 0 ? failed(folder) : folder;
}

// What the kernel holds that the relay wrote and it has not sent to the backend yet. Left to itself this grows to
// megabytes, and the answers to all of it go to clients that may have stopped reading meanwhile.
enum { unsent_most = 512 * 1024 };

int voltlane_dial(const struct sockaddr *address, socklen_t length, const char *congestion_control, int keepalive) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (address->sa_family != AF_UNIX &&
      (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || set_tcp(fd, congestion_control) < 0 ||
       set_keepalive(fd, keepalive) < 0 || set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_most) < 0))
    return failed(fd);
  if (connect(fd, address, length) < 0 && errno != EINPROGRESS) return failed(fd);
  return fd;
}

bool voltlane_is_local(const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in6 any_port;
  if (length > sizeof any_port) return false;
  memcpy(&any_port, address, length);
  // IPv4 and IPv6 keep the port in the same place.
  any_port.sin6_port = 0;
  int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool is_local = bind(fd, (struct sockaddr *)&any_port, length) == 0;
  close(fd);
  return is_local;
}

struct voltlane_address voltlane_peer_address(int socket) {
  struct voltlane_address address = {0, 0, 0};
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  if (getpeername(socket, (struct sockaddr *)&peer, &length) < 0) {
    // A connection that was reset before it was accepted has no peer for getpeername. This still tells the client's
    // address, if no more is asked for than an address has.
    length = sizeof(struct sockaddr_in6);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERNAME, &peer, &length) < 0) {
      length = sizeof(struct sockaddr_in);
      if (getsockopt(socket, SOL_SOCKET, SO_PEERNAME, &peer, &length) < 0) return address;
    }
  }
  if (peer.ss_family == AF_INET) {
    address.low = 0xffff00000000 | ntohl(((struct sockaddr_in *)&peer)->sin_addr.s_addr);
    address.port = ntohs(((struct sockaddr_in *)&peer)->sin_port);
  } else if (peer.ss_family == AF_INET6) {
    unsigned long long halves[2];
    memcpy(halves, &((struct sockaddr_in6 *)&peer)->sin6_addr, sizeof halves);
    address.high = be64toh(halves[0]);
    address.low = be64toh(halves[1]);
    address.port = ntohs(((struct sockaddr_in6 *)&peer)->sin6_port);
  }
  return address;
}

int voltlane_unacknowledged(int socket) {
  int bytes = 0;
  int domain = AF_UNIX;
  socklen_t length = sizeof domain;
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain == AF_UNIX) return 0;
  return ioctl(socket, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

long voltlane_socket_memory(int socket) {
  // As long as the kernel's list is today; a longer one is cut off.
  unsigned values[9] = {0};
  socklen_t length = sizeof values;
  if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, values, &length) < 0) return 0;
  // What is sent over a unix socket is charged as allocated, and never as queued; and what its peer sent is charged to
  // the peer, so that only the bytes themselves can be asked for.
  unsigned sent = values[SK_MEMINFO_WMEM_QUEUED], came = values[SK_MEMINFO_RMEM_ALLOC];
  if (values[SK_MEMINFO_WMEM_ALLOC] > sent) sent = values[SK_MEMINFO_WMEM_ALLOC];
  if (came == 0) came = (unsigned)voltlane_unread(socket);
  return (long)sent + came + values[SK_MEMINFO_BACKLOG];
}

unsigned long long voltlane_milliseconds_since_ack(int socket) {
  if (voltlane_unacknowledged(socket) == 0) return 0;
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return 0;
  // Everything that was sent has been acknowledged, and so have the probes of a closed window. They come ever more
  // rarely, up to two minutes apart: no sign of life is owed in between.
  if (info.tcpi_unacked == 0 && info.tcpi_probes == 0) return 0;
  return info.tcpi_last_ack_recv;
}

int voltlane_dial_result(int socket) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
  if (error) return -error;
  // Writable without an error can still mean "not yet" on a spurious wake-up: only a peer proves the connection.
  struct sockaddr_storage peer;
  length = sizeof peer;
  return getpeername(socket, (struct sockaddr *)&peer, &length) < 0 ? -errno : 0;
}

bool voltlane_is_own_peer(int socket) {
  struct sockaddr_storage own = {0}, peer = {0};
  socklen_t own_length = sizeof own, peer_length = sizeof peer;
  if (getsockname(socket, (struct sockaddr *)&own, &own_length) < 0 ||
      getpeername(socket, (struct sockaddr *)&peer, &peer_length) < 0)
    return false;
  if (own.ss_family != peer.ss_family) return false;
  if (own.ss_family == AF_INET) {
    struct sockaddr_in *a = (struct sockaddr_in *)&own, *b = (struct sockaddr_in *)&peer;
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
  }
  if (own.ss_family == AF_INET6) {
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&own, *b = (struct sockaddr_in6 *)&peer;
    return a->sin6_port == b->sin6_port && memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
  }
  return false;
}

int voltlane_unread(int socket) {
  int count = 0;
  return ioctl(socket, SIOCINQ, &count) < 0 ? 0 : count;
}

bool voltlane_reset(int socket) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  // The close comes later, when the ring gets to it, and until then the kernel would go on sending. Dissolving the
  // association sends the reset now. A Unix socket refuses this.
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  return connect(socket, &none, sizeof none) == 0;
}

void voltlane_abandon(int socket) {
  // A socket under repair is closed without a segment.
  if (set_int(socket, IPPROTO_TCP, TCP_REPAIR, 1) == 0) return;
  set_int(socket, IPPROTO_IP, IP_TTL, 1);
  set_int(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1);
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

enum {
  // Where the IP header begins for a filter, and what it asks of a TCP header, which is at 0.
  ip_header = SKF_NET_OFF,
  tcp_flags = 13,
  tcp_syn = 0x02,
  tcp_ack = 0x10,
  ipv4_source = ip_header + 12,
  ipv6_source = ip_header + 8,
  longest_filter = 4096,
};

void voltlane_add_match(struct voltlane_source *source, int offset, int width, unsigned value) {
  source->matches[source->count].offset = offset;
  source->matches[source->count].width = width;
  source->matches[source->count].value = value;
  source->count++;
}

bool voltlane_shun(int listener, const struct voltlane_source *sources, int count) {
  int family = 0;
  socklen_t length = sizeof family;
  if (getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &family, &length) < 0) return false;
  // Each address takes at most nine; there are four before them and one after.
  struct sock_filter filter[longest_filter];
  if (count > (longest_filter - 5) / 9) return false;
  int used = 0;
  // What is not an attempt to connect passes.
  filter[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, tcp_flags);
  filter[used++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, tcp_syn | tcp_ack);
  filter[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, tcp_syn, 1, 0);
  filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
  int before = used;
  for (int i = 0; i < count; i++) {
    const struct voltlane_source *source = &sources[i];
    // A listener of IPv6 hears nothing of IPv4: IPV6_V6ONLY.
    if (source->is_ipv4 != (family == AF_INET)) continue;
    uint32_t start = (uint32_t)(source->is_ipv4 ? ipv4_source : ipv6_source);
    for (int match = 0; match < source->count; match++) {
      int size = source->matches[match].width == 2 ? BPF_H : BPF_W;
      // The first that differs leads past the rest of this address and its verdict.
      unsigned char rest = (unsigned char)(2 * (source->count - 1 - match) + 1);
      uint32_t place = start + (uint32_t)source->matches[match].offset;
      filter[used++] = (struct sock_filter)BPF_STMT(BPF_LD | size | BPF_ABS, place);
      filter[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, source->matches[match].value, 0, rest);
    }
    filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
  }
  if (used == before) {
    // There is nothing to remove where there was nothing.
    voltlane_unburden(listener);
    return false;
  }
  filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
  struct sock_fprog program = {.len = (unsigned short)used, .filter = filter};
  return setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

void voltlane_copy_filter(int from, int to) {
  struct sock_filter filter[longest_filter];
  // In instructions, not in bytes.
  socklen_t count = longest_filter;
  if (getsockopt(from, SOL_SOCKET, SO_GET_FILTER, filter, &count) < 0 || count == 0) return;
  struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  setsockopt(to, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void voltlane_unburden(int socket) {
  int none = 0;
  setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
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
