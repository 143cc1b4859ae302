// The floor under every relay: what the kernel alone takes for the same bytes, on the same sockets, by the calls of an
// epoll relay.
//
// It stands where a relay stands and is driven by the same load generator, which checks every byte
// (`voltlane-bench echo --plain`). It reads as `epoll-relay` reads, one receive of up to 256 KiB from each ready
// socket, and writes as that writes, at the end of a turn one send to the backend and one to each client that has
// something. What it leaves out is the relay:
//
//     no handshake, no ids       what comes back belongs to the clients in the order in which it was taken from them
//     no packets                 a client's bytes go on as they come, in whatever pieces; nothing is parsed
//     no copy                    bytes are received into the memory that they are sent from
//
// The bytes are the same, the 9 of each packet's tag included: knowing the size of all packets, it lets as many bytes
// of no meaning follow each run of a client's, and skips them when they come back. And they are as cold or as warm for
// the second call as they were left by the first: what goes out is what came in, as in a relay, not some hot buffer.
//
// It does copy what a client's socket does not take at once, as everybody has to; with a window nobody falls that far
// behind. A relay's CPU time above this figure is its own. Nothing below it can be reached with these calls, only with
// fewer: a relay that gathers more before it writes can.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "sockets.h"

enum {
  READ_SIZE = 256 * 1024,          // one receive
  EVENTS = 256,                    // sockets a turn
  FLUSH_AT = 1024 * 1024,          // the uplink is sent within a turn from here on: later it leaves the cache
  UPLINK_SIZE = 4 * 1024 * 1024,   // a power of two; clients are not read while less than a receive is free
  SIZE_PREFIX = 4,
  TAG = 9,
};

// A part of what the backend sent in this turn, for one client; its next part, or -1.
struct piece {
  uint8_t *bytes;
  size_t count;
  int next;
};

struct client {
  int fd;
  size_t rest;             // bytes read of a packet that is not whole
  int first, last;         // its pieces in this turn; -1 where there are none
  uint8_t *unsent;         // what its socket did not take: unsent[head ..< end]
  size_t head, end;
};

// Bytes of a client under way to the backend and back, and the meaningless ones after them.
struct run {
  struct client *client;
  size_t bytes, padding;
};

static int poller, backend_poller, listener, backend = -1;
static const char *backend_name;
static size_t frame;  // bytes of a packet with its size prefix

// Sent to the backend from the memory it was received into, which is mapped twice, so that every part is contiguous.
static uint8_t *uplink;
static size_t head, end;
static bool backend_wants_output;

static uint8_t downlink[READ_SIZE];
static struct piece *pieces;
static struct client **dirty;
static int piece_count, dirty_count;
static size_t piece_capacity, dirty_capacity;

// A queue; capacity is a power of two.
static struct run *runs;
static size_t first_run, end_run, run_capacity = 1024;

// Whether a receive, and what follows it, may not fit any more.
static bool uplink_full(void) { return end - head + READ_SIZE + TAG * (READ_SIZE / frame + 1) > UPLINK_SIZE; }

static void *grown(void *items, size_t *capacity, size_t size) {
  *capacity = *capacity ? 2 * *capacity : 1024;
  items = realloc(items, *capacity * size);
  if (!items) die("out of memory");
  return items;
}

static void watch(int fd, void *who, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = who};
  if (epoll_ctl(poller, operation, fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void map_uplink(void) {
  int memory = memfd_create("uplink", 0);
  uplink = mmap(NULL, 2 * UPLINK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 || uplink == MAP_FAILED || ftruncate(memory, UPLINK_SIZE)) die("memory: %s", strerror(errno));
  for (int i = 0; i < 2; i++)
    if (mmap(uplink + i * UPLINK_SIZE, UPLINK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
             memory, 0) == MAP_FAILED)
      die("mmap: %s", strerror(errno));
  close(memory);
}

// ---- up -------------------------------------------------------------------------------------------------------------

static void send_up(void) {
  if (head == end) return;
  ssize_t n = send(backend, uplink + head % UPLINK_SIZE, end - head, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) die("the backend: %s", strerror(errno));
  if (n > 0) head += n;
  if (head == end) head = end = 0;  // the warm end of the memory
  if ((head != end) == backend_wants_output) return;
  backend_wants_output = head != end;
  watch(backend, &backend, EPOLL_CTL_MOD, EPOLLIN | (backend_wants_output ? EPOLLOUT : 0));
}

static void append_run(struct run run) {
  if (end_run - first_run == run_capacity) {
    struct run *larger = calloc(2 * run_capacity, sizeof *larger);
    if (!larger) die("out of memory");
    for (size_t i = first_run; i != end_run; i++)
      larger[i & (2 * run_capacity - 1)] = runs[i & (run_capacity - 1)];
    free(runs);
    runs = larger;
    run_capacity *= 2;
  }
  runs[end_run++ & (run_capacity - 1)] = run;
}

// A client that has gone stays as it is, without a socket: the measurement is over.
static void client_close(struct client *c) {
  close(c->fd);
  c->fd = -1;
}

static void client_read(struct client *c) {
  if (uplink_full()) return;
  ssize_t n = recv(c->fd, uplink + end % UPLINK_SIZE, READ_SIZE, MSG_DONTWAIT);
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) client_close(c);
    return;
  }
  size_t padding = (c->rest + n) / frame * TAG;
  c->rest = (c->rest + n) % frame;
  end += n + padding;
  append_run((struct run){c, n, padding});
  if (end - head >= FLUSH_AT && !backend_wants_output) send_up();
}

// ---- down -----------------------------------------------------------------------------------------------------------

static void add_piece(struct client *c, uint8_t *bytes, size_t count) {
  if ((size_t)piece_count == piece_capacity) pieces = grown(pieces, &piece_capacity, sizeof *pieces);
  if (c->first < 0) {
    if ((size_t)dirty_count == dirty_capacity) dirty = grown(dirty, &dirty_capacity, sizeof *dirty);
    dirty[dirty_count++] = c;
    c->first = piece_count;
  } else {
    pieces[c->last].next = piece_count;
  }
  c->last = piece_count;
  pieces[piece_count++] = (struct piece){bytes, count, -1};
}

static void backend_read(void) {
  ssize_t n = recv(backend, downlink, READ_SIZE, MSG_DONTWAIT);
  if (n == 0) exit(0);  // the measurement is over
  if (n < 0 && errno != EAGAIN) die("the backend: %s", strerror(errno));
  uint8_t *at = downlink;
  for (size_t left = n > 0 ? n : 0; left > 0;) {
    struct run *run = &runs[first_run & (run_capacity - 1)];
    size_t *part = run->bytes ? &run->bytes : &run->padding;
    size_t taken = *part < left ? *part : left;
    if (part == &run->bytes) add_piece(run->client, at, taken);
    *part -= taken;
    at += taken;
    left -= taken;
    if (!run->bytes && !run->padding) first_run++;
  }
}

static void keep_unsent(struct client *c, const uint8_t *bytes, size_t count) {
  if (!count) return;
  if (c->head == c->end) watch(c->fd, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
  uint8_t *larger = malloc(c->end - c->head + count);
  if (!larger) die("out of memory");
  if (c->unsent) memcpy(larger, c->unsent + c->head, c->end - c->head);
  memcpy(larger + c->end - c->head, bytes, count);
  free(c->unsent);
  c->unsent = larger;
  c->end = c->end - c->head + count;
  c->head = 0;
}

static void send_unsent(struct client *c) {
  ssize_t n = send(c->fd, c->unsent + c->head, c->end - c->head, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) c->head += n;
  if (c->head < c->end) return;
  free(c->unsent);
  c->unsent = NULL;
  c->head = c->end = 0;
  watch(c->fd, c, EPOLL_CTL_MOD, EPOLLIN);
}

// All that came for a client in this turn, in one send.
static void send_down(struct client *c) {
  struct iovec parts[64];
  int next = c->first, count = 0;
  c->first = c->last = -1;
  while (next >= 0) {
    for (count = 0; next >= 0 && count < 64; next = pieces[next].next)
      parts[count++] = (struct iovec){pieces[next].bytes, pieces[next].count};
    ssize_t n = 0;
    if (c->fd >= 0 && c->head == c->end) {
      struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
      n = count == 1 ? send(c->fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                     : sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) client_close(c);
      if (n < 0) n = 0;
    }
    for (int i = 0; i < count && c->fd >= 0; i++) {
      size_t sent = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;
      keep_unsent(c, (uint8_t *)parts[i].iov_base + sent, parts[i].iov_len - sent);
      n -= sent;
    }
  }
}

// ---- start and loop -------------------------------------------------------------------------------------------------

static void dial(void) {
  struct address a;
  if (!resolve(backend_name, false, &a)) die("cannot resolve '%s'", backend_name);
  backend = stream_socket(a.any.sa_family);
  set_no_delay(backend);
  if (connect(backend, &a.any, a.length) && errno != EINPROGRESS) die("dial: %s", strerror(errno));
  watch(backend, &backend, EPOLL_CTL_ADD, EPOLLIN);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &backend};
  if (epoll_ctl(backend_poller, EPOLL_CTL_ADD, backend, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void accept_clients(void) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (backend < 0) dial();  // the load generator waits for no relay that knows no protocol
    set_no_delay(fd);
    struct client *c = calloc(1, sizeof *c);
    if (!c) die("out of memory");
    *c = (struct client){.fd = fd, .first = -1, .last = -1};
    watch(fd, c, EPOLL_CTL_ADD, EPOLLIN);
  }
}

static void turn(void) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(uplink_full() ? backend_poller : poller, events, EVENTS, -1);
  for (int i = 0; i < count; i++) {
    void *what = events[i].data.ptr;
    uint32_t ready = events[i].events;
    if (what == &listener) {
      accept_clients();
    } else if (what == &backend) {
      if (ready & ~EPOLLOUT) backend_read();
    } else {
      struct client *c = what;
      if (ready & EPOLLOUT && c->head != c->end) send_unsent(c);
      if (ready & ~EPOLLOUT) client_read(c);
    }
  }
  send_up();
  for (int i = 0; i < dirty_count; i++) send_down(dirty[i]);
  dirty_count = piece_count = 0;
}

int main(int count, char **arguments) {
  const char *listen_name = NULL;
  int size = -1;
  for (int i = 1; i < count; i += 2) {
    const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
    if (!strcmp(flag, "--listen")) listen_name = value;
    else if (!strcmp(flag, "--backend")) backend_name = value;
    else if (!strcmp(flag, "--size")) size = atoi(value);
    else if (!strcmp(flag, "--congestion-control")) congestion_control = value;
    else die("unknown flag %s", flag);
  }
  if (!listen_name || !backend_name || size < 0)
    die("usage: --listen HOST:PORT --backend HOST:PORT --size BYTES [--congestion-control NAME]");
  frame = SIZE_PREFIX + size;
  runs = calloc(run_capacity, sizeof *runs);
  poller = epoll_create1(EPOLL_CLOEXEC);
  backend_poller = epoll_create1(EPOLL_CLOEXEC);
  if (!runs || poller < 0 || backend_poller < 0) die("start: %s", strerror(errno));
  raise_file_limit();
  map_uplink();
  listener = listen_at(listen_name, 0);
  watch(listener, &listener, EPOLL_CTL_ADD, EPOLLIN);
  for (;;) turn();
}
