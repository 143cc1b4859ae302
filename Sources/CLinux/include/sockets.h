#pragma once
#include <stdbool.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

static const int voltlane_stream = SOCK_STREAM;

// getaddrinfo's EAI_NODATA, which glibc only shows with _GNU_SOURCE: the name is known and has no address.
static const int voltlane_no_address = -5;

// Accepted sockets do not block and are not inherited.
static const int voltlane_accept_flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

// How the data plane sends: without waiting, and without SIGPIPE.
static const int voltlane_send_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
static const int voltlane_wait_all = MSG_WAITALL;

// Calls that never block and return a count or -errno.

static inline long voltlane_receive(int socket, void *bytes, unsigned long count) {
  long n = recv(socket, bytes, count, MSG_DONTWAIT);
  return n < 0 ? -(long)errno : n;
}

static inline long voltlane_receive_two(int socket, void *first, unsigned long first_count, void *second,
                                        unsigned long second_count) {
  struct iovec vectors[2] = {{first, first_count}, {second, second_count}};
  struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
  long n = recvmsg(socket, &message, MSG_DONTWAIT);
  return n < 0 ? -(long)errno : n;
}

static inline long voltlane_send(int socket, const void *bytes, unsigned long count) {
  long n = send(socket, bytes, count, voltlane_send_flags);
  return n < 0 ? -(long)errno : n;
}

static inline long voltlane_send_vectors(int socket, struct iovec *vectors, int count) {
  struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (unsigned long)count};
  long n = sendmsg(socket, &message, voltlane_send_flags);
  return n < 0 ? -(long)errno : n;
}

// The probes of a connection that has been silent for that many seconds: a third of that apart, and as many of them as
// it takes to notice a dead peer after twice the time. The kernel counts in whole seconds.
struct voltlane_probes {
  int interval, count;
};
struct voltlane_probes voltlane_keepalive_probes(int seconds);

// Sets a connection's timeout for unacknowledged data or, if there is none and a keepalive probe has not been answered
// so far, the timeout for that.
void voltlane_set_user_timeout(int socket, unsigned milliseconds, unsigned unanswered);

// The options of listening sockets. Every accepted socket inherits the TCP options, which saves those calls for each
// client.
struct voltlane_listen_options {
  int backlog;
  // Bytes of the receive buffer; the kernel gives no more than net.core.rmem_max.
  int receive_buffer;
  // NULL: the system's default.
  const char *congestion_control;
  // Seconds of silence before the kernel asks whether the client is alive; 0 for never.
  int keepalive;
  // Milliseconds without an acknowledgement after which the kernel gives a client up; 0: the system's default.
  unsigned user_timeout;
  // Seconds for which the kernel holds back a connection until something has arrived on it; 0: not at all.
  int defer_accept;
  // Whether the socket is bound even if no interface has the address yet: it can be reached once one does.
  bool before_address;
};

// A listening TCP socket, or -errno.
int voltlane_listen(const struct sockaddr *address, socklen_t length, struct voltlane_listen_options options);

// The options of a listening unix socket and its file.
struct voltlane_unix_options {
  int backlog;
  // Which processes may connect: the exact permissions of the file; -1: what the umask leaves.
  int mode;
  // The group of the file; -1: the process's own.
  long long group;
};

// Which file a path meant.
struct voltlane_file {
  unsigned long long device, inode;
};

// A listening unix socket, or -errno. `file` is the file at its path, which did not exist before.
int voltlane_listen_unix(const char *path, struct voltlane_unix_options options, struct voltlane_file *file);

// Removes `path` if it still means that file.
bool voltlane_remove_file(const char *path, struct voltlane_file file);

// A descriptor that locks a folder until it is closed, against others that put socket files there, or -errno:
// -EWOULDBLOCK if another holds the lock.
int voltlane_lock_folder(const char *path);

// A socket whose connection to `address` is under way, or -errno. `congestion_control` and `keepalive` as above. The
// port that the kernel chose for it can still be listened on with SO_REUSEADDR, also while it is in TIME-WAIT.
int voltlane_dial(const struct sockaddr *address, socklen_t length, const char *congestion_control, int keepalive);

// The peer's address as the two halves of an IPv6 one, with an IPv4 address as ::ffff:a.b.c.d; 0 for a Unix socket.
struct voltlane_address {
  unsigned long long high, low;
  unsigned short port;
};
struct voltlane_address voltlane_peer_address(int socket);

// Bytes in the send queue that the peer has not acknowledged. 0 for a unix socket, which has no acknowledgements: it
// counts memory, which can be many times the bytes.
int voltlane_unacknowledged(int socket);

// Memory in which the kernel holds what has arrived and was not received, and what was sent and not acknowledged.
long voltlane_socket_memory(int socket);

// Milliseconds since the last acknowledgement; 0 if none is owed: nothing is outstanding, or it waits for the peer's
// window to open and the peer answers.
unsigned long long voltlane_milliseconds_since_ack(int socket);

// Whether the IP address is one of this machine's.
bool voltlane_is_local(const struct sockaddr *address, socklen_t length);

// 0 once a dialled socket is connected, else -errno.
int voltlane_dial_result(int socket);

// Whether a connected socket is its own peer: if nobody listens on a port that the kernel gives to outgoing
// connections, a dial from that very port opens a connection to itself. Reset such a socket: its TIME-WAIT would keep
// the port.
bool voltlane_is_own_peer(int socket);

// What a socket accepted and its peer has not taken, in bytes; for a unix socket memory, and what was taken is unknown.
struct voltlane_backlog {
  int waiting;
  bool is_stream_of_bytes;
  unsigned long long taken;
};
struct voltlane_backlog voltlane_backlog_of(int socket);

// Bytes that have arrived and were not received yet; none if that is unknown.
int voltlane_unread(int socket);

// Resets the connection now: nothing more leaves. The socket can then only be closed. False if that is not possible:
// unix sockets have no reset.
bool voltlane_reset(int socket);

// Forgets the connection without telling its peer, if the process may (CAP_NET_ADMIN); otherwise lets the reset that
// the close will send die at the first router. The socket can then only be closed.
void voltlane_abandon(int socket);

// Source addresses, by the values in some of their places: two or four bytes each, in network order.
struct voltlane_source {
  bool is_ipv4;
  int count;
  struct {
    int offset, width;
    unsigned value;
  } matches[4];
};
void voltlane_add_match(struct voltlane_source *source, int offset, int width, unsigned value);

// Drops attempts to connect from these addresses at the listener, before they cost more than a look, and lets
// everything else through; none: drops nothing. False if none of them can reach this listener, or the kernel refuses.
bool voltlane_shun(int listener, const struct voltlane_source *sources, int count);

// Gives a listener what another one drops.
void voltlane_copy_filter(int from, int to);

// Removes it from a listener, or from a socket that was accepted by it, which has no use for it.
void voltlane_unburden(int socket);

// 0 if nobody listens on `address`, otherwise -errno. Looks without SO_REUSEPORT, which would hide a listener that uses
// it.
int voltlane_check_free(const struct sockaddr *address, socklen_t length);
