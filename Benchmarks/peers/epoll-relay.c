// A plain one-thread epoll relay of the Voltlane protocol: the yardstick that the relay is measured against.
//
// It is meant to be as fast as a straightforward epoll relay reasonably gets, and no cleverer: one loop,
// level-triggered epoll, one large receive a ready socket, everything that was gathered in one turn written with one
// send a socket, one user-space copy each way.
//
//     client:    u32 size | data                             firehose:  u32 size | u64 id | u8 flag | data
//
// What it leaves out on purpose, because a measurement needs none of it: keys are not checked to lie on the curve, ids
// are sequential, nobody reconnects (a session ends with its socket), and there are no timeouts.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include "sockets.h"

enum {
  READ_SIZE = 256 * 1024,           // one receive
  COPY_MAX = 64 * 1024,             // an unfinished packet up to this size is copied in front of the shared read buffer
  EVENTS = 256,                     // sockets a turn
  FLUSH_AT = 1024 * 1024,           // the uplink is sent within a turn from here on: later it leaves the cache
  UPLINK_LIMIT = 4 * 1024 * 1024,   // clients are not read while the uplink holds more than this
  CLIENT_LIMIT = 16 * 1024 * 1024,  // a client that leaves more than this unread is ended
  MAX_PACKET = 8388599,
  MAX_HANDSHAKE = 256,
  SIZE_PREFIX = 4,
  TAG = 9,
  POOL = 4096,  // spare buffers, and their bytes together
  POOL_BYTES = 64 * 1024 * 1024,
};

enum { FLAG_DATA = 0, FLAG_FAILURE = 1, FLAG_KICK = 2, FLAG_RECONNECTION = 3 };

// ---- bytes ----------------------------------------------------------------------------------------------------------

static inline uint32_t load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;  // little-endian machines only
}
static inline uint64_t load64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}
static inline void store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

// Bytes waiting for a socket: bytes[head ..< end]. The memory comes from a pool that hands out what was used last, so
// that thousands of clients share a few warm buffers; an empty buffer owns none.
struct buffer {
  uint8_t *bytes;
  size_t capacity, head, end;
};

static struct {
  uint8_t *bytes;
  size_t capacity;
} pool[POOL];
static int pooled;
static size_t pooled_bytes;

static inline size_t pending(const struct buffer *b) { return b->end - b->head; }

static void buffer_release(struct buffer *b) {
  if (b->bytes) {
    if (pooled < POOL && pooled_bytes + b->capacity <= POOL_BYTES) {
      pooled_bytes += b->capacity;
      pool[pooled].bytes = b->bytes;
      pool[pooled++].capacity = b->capacity;
    } else {
      free(b->bytes);
    }
  }
  *b = (struct buffer){0};
}

__attribute__((noinline)) static void buffer_make_room(struct buffer *b, size_t count) {
  if (!b->bytes && pooled) {
    b->bytes = pool[--pooled].bytes;
    b->capacity = pool[pooled].capacity;
    pooled_bytes -= b->capacity;
  }
  if (b->head && b->head >= b->end - b->head) {  // no more is moved than was sent
    memmove(b->bytes, b->bytes + b->head, pending(b));
    b->end -= b->head;
    b->head = 0;
  }
  if (b->capacity - b->end < count) {
    size_t capacity = b->capacity ? b->capacity : 4096;
    while (capacity - b->end < count) capacity *= 2;
    b->bytes = realloc(b->bytes, capacity);
    if (!b->bytes) die("out of memory");
    b->capacity = capacity;
  }
}

// Room for `count` bytes at the end; the caller fills them.
static inline uint8_t *buffer_append(struct buffer *b, size_t count) {
  if (b->capacity - b->end < count) buffer_make_room(b, count);
  uint8_t *at = b->bytes + b->end;
  b->end += count;
  return at;
}

// ---- state ----------------------------------------------------------------------------------------------------------

enum state { AWAITS_VERSION, AWAITS_KEY, OPEN, CLOSING, CLOSED };

struct client {
  int fd;
  enum state state;
  uint64_t id;  // 0 until it has one
  uint32_t armed;
  bool dirty, paused;
  struct buffer in, out;
};

static int poller;
static int listener;
static int marker_listener, marker_firehose;  // their addresses tell events apart from those of clients

static struct client **by_id;  // the clients, by their sequential id
static uint64_t next_id = 1, id_capacity;

static struct client **dirty, **paused, **dead;
static size_t dirty_count, dirty_capacity, paused_count, paused_capacity, dead_count, dead_capacity;

static uint8_t *shared_input;

static struct {
  int fd;
  bool connected, was_connected, wants_output;
  struct buffer in;
  // The bytes for the backend. `start` is the start of the packet in which `head` lies or before it: what has to be
  // sent again on the next connection. See uplink_rewind.
  uint8_t *out;
  size_t capacity, start, head, end;
  int delay_ms;
  int64_t dial_at;
} firehose = {.fd = -1};

static const char *backend_name;

static const uint8_t relay_key[33] = {0x03, 0x25, 0xb4, 0xd5, 0xc7, 0x37, 0x33, 0x02, 0xff, 0x6d, 0x40,
                                      0xbe, 0xa1, 0xfb, 0xde, 0xb2, 0x76, 0x60, 0xac, 0x72, 0x37, 0x6d,
                                      0x6d, 0x1c, 0x73, 0x0e, 0xc1, 0x73, 0xb7, 0x75, 0x2d, 0x36, 0x2d};

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void push(struct client ***list, size_t *count, size_t *capacity, struct client *c) {
  if (*count == *capacity) {
    *capacity = *capacity ? *capacity * 2 : 1024;
    *list = realloc(*list, *capacity * sizeof **list);
    if (!*list) die("out of memory");
  }
  (*list)[(*count)++] = c;
}

static inline void mark_dirty(struct client *c) {
  if (c->dirty) return;
  c->dirty = true;
  push(&dirty, &dirty_count, &dirty_capacity, c);
}

static void arm(struct client *c, uint32_t events) {
  if (c->armed == events) return;
  c->armed = events;
  struct epoll_event e = {.events = events, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

// ---- uplink ---------------------------------------------------------------------------------------------------------

// Moves `start` to the start of the packet in which `head` lies.
static void uplink_settle(void) {
  if (firehose.head == firehose.end) {
    firehose.start = firehose.head = firehose.end = 0;
    return;
  }
  for (;;) {
    size_t next = firehose.start + SIZE_PREFIX + load32(firehose.out + firehose.start);
    if (next > firehose.head) return;
    firehose.start = next;
  }
}

__attribute__((noinline)) static void uplink_make_room(size_t count) {
  uplink_settle();
  if (firehose.start && firehose.start >= firehose.end - firehose.start) {  // no more is moved than is freed
    memmove(firehose.out, firehose.out + firehose.start, firehose.end - firehose.start);
    firehose.head -= firehose.start;
    firehose.end -= firehose.start;
    firehose.start = 0;
  }
  if (firehose.capacity - firehose.end < count) {
    size_t capacity = firehose.capacity ? firehose.capacity : 2 * FLUSH_AT;
    while (capacity - firehose.end < count) capacity *= 2;
    firehose.out = realloc(firehose.out, capacity);
    if (!firehose.out) die("out of memory");
    firehose.capacity = capacity;
  }
}

static inline void uplink_append(uint64_t id, uint8_t flag, const uint8_t *data, size_t count) {
  size_t size = SIZE_PREFIX + TAG + count;
  if (firehose.capacity - firehose.end < size) uplink_make_room(size);
  uint8_t *p = firehose.out + firehose.end;
  store32(p, TAG + count);
  store64(p + 4, id);
  p[12] = flag;
  memcpy(p + 13, data, count);
  firehose.end += size;
}

static void uplink_failure(uint64_t id, const char *reason) {
  uplink_append(id, FLAG_FAILURE, (const uint8_t *)reason, strlen(reason));
}

static inline bool uplink_full(void) { return firehose.end - firehose.head > UPLINK_LIMIT; }

static void firehose_lost(const char *why);

static void firehose_arm(bool output) {
  if (firehose.wants_output == output) return;
  firehose.wants_output = output;
  struct epoll_event e = {.events = EPOLLIN | (output ? EPOLLOUT : 0), .data.ptr = &marker_firehose};
  epoll_ctl(poller, EPOLL_CTL_MOD, firehose.fd, &e);
}

static void uplink_flush(void) {
  if (!firehose.connected || firehose.head == firehose.end) return;
  ssize_t n =
      send(firehose.fd, firehose.out + firehose.head, firehose.end - firehose.head, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    if (errno == EAGAIN) firehose_arm(true);
    else if (errno != EINTR) firehose_lost(strerror(errno));
    return;
  }
  firehose.head += n;
  if (firehose.head == firehose.end) {
    firehose.start = firehose.head = firehose.end = 0;
    firehose_arm(false);
  } else {
    firehose_arm(true);
  }
  if (paused_count && firehose.end - firehose.head < UPLINK_LIMIT / 2) {
    for (size_t i = 0; i < paused_count; i++) {
      struct client *c = paused[i];
      c->paused = false;
      if (c->state != CLOSED) arm(c, c->armed | EPOLLIN);
    }
    paused_count = 0;
  }
}

// ---- clients --------------------------------------------------------------------------------------------------------

// The client is freed at the end of the turn: an event or a list of this turn may still name it.
static void client_close(struct client *c) {
  if (c->state == CLOSED) return;
  c->state = CLOSED;
  close(c->fd);
  push(&dead, &dead_count, &dead_capacity, c);
}

static void session_end(struct client *c, const char *reason) {
  if (!c->id) return;
  uplink_failure(c->id, reason);
  by_id[c->id] = NULL;
  c->id = 0;
}

// What is queued is sent, then the sending side is shut, then input is discarded until the client's FIN.
static void client_finish(struct client *c) {
  c->state = CLOSING;
  mark_dirty(c);
}

static void client_send(struct client *c) {
  if (c->state == CLOSED) return;
  if (pending(&c->out)) {
    ssize_t n = send(c->fd, c->out.bytes + c->out.head, pending(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      session_end(c, "stale timeout");
      client_close(c);
      return;
    }
    if (n > 0) c->out.head += n;
    if (pending(&c->out)) {
      arm(c, c->armed | EPOLLOUT);
      return;
    }
    buffer_release(&c->out);
  }
  if (c->armed & EPOLLOUT) arm(c, c->armed & ~EPOLLOUT);
  if (c->state == CLOSING) shutdown(c->fd, SHUT_WR);
}

static size_t put_varint(uint8_t *p, uint64_t v) {
  if (v < 251) return p[0] = v, 1;
  if (v <= 0xffff) return p[0] = 251, p[1] = v, p[2] = v >> 8, 3;
  if (v <= 0xffffffff) return p[0] = 252, store32(p + 1, v), 5;
  return p[0] = 253, store64(p + 1, v), 9;
}

static bool client_handshake(struct client *c, const uint8_t *p, size_t size) {
  if (c->state == AWAITS_VERSION) {
    if (size < 2 || p[0] != 1 || p[1] != 2) return false;
    uint8_t *out = buffer_append(&c->out, SIZE_PREFIX + 2 + sizeof relay_key);
    store32(out, 2 + sizeof relay_key);
    out[4] = 2;
    out[5] = sizeof relay_key;
    memcpy(out + 6, relay_key, sizeof relay_key);
    c->state = AWAITS_KEY;
  } else {
    if (size < 2 || p[0] != 2 || size < 2 + (size_t)p[1]) return false;
    bool compressed = p[1] == 33 && (p[2] == 2 || p[2] == 3), plain = p[1] == 65 && p[2] == 4;
    if (!compressed && !plain) return false;
    if (next_id >= id_capacity) {
      uint64_t capacity = id_capacity ? id_capacity * 2 : 4096;
      by_id = realloc(by_id, capacity * sizeof *by_id);
      if (!by_id) die("out of memory");
      memset(by_id + id_capacity, 0, (capacity - id_capacity) * sizeof *by_id);
      id_capacity = capacity;
    }
    c->id = next_id++;
    by_id[c->id] = c;
    uint8_t id[9];
    size_t count = put_varint(id, c->id);
    uint8_t *out = buffer_append(&c->out, SIZE_PREFIX + 1 + count);
    store32(out, 1 + count);
    out[4] = 3;
    memcpy(out + 5, id, count);
    c->state = OPEN;
  }
  mark_dirty(c);
  return true;
}

static void client_read(struct client *c) {
  if (uplink_full() && c->state == OPEN) {
    c->paused = true;
    push(&paused, &paused_count, &paused_capacity, c);
    arm(c, c->armed & ~EPOLLIN);
    return;
  }
  size_t have = pending(&c->in);
  uint8_t *base = shared_input;
  if (have > COPY_MAX) {
    buffer_append(&c->in, READ_SIZE);
    c->in.end -= READ_SIZE;
    base = c->in.bytes + c->in.head;
  } else if (have) {
    memcpy(base, c->in.bytes + c->in.head, have);
  }
  ssize_t n = recv(c->fd, base + have, READ_SIZE, MSG_DONTWAIT);
  if (n <= 0) {
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    session_end(c, "stale timeout");
    client_close(c);
    return;
  }
  if (c->state == CLOSING) return;

  uint8_t *p = base, *end = base + have + n;
  while (end - p >= SIZE_PREFIX) {
    size_t size = load32(p);
    size_t max = c->state == OPEN ? MAX_PACKET : MAX_HANDSHAKE;
    if (size > max) {
      session_end(c, "packet too large");
      client_finish(c);
      return;
    }
    if ((size_t)(end - p) < SIZE_PREFIX + size) break;
    if (c->state == OPEN) {
      uplink_append(c->id, FLAG_DATA, p + SIZE_PREFIX, size);
    } else if (!client_handshake(c, p + SIZE_PREFIX, size)) {
      client_finish(c);
      return;
    }
    p += SIZE_PREFIX + size;
  }

  size_t rest = end - p;
  if (base != shared_input) {
    c->in.head = p - c->in.bytes;
    c->in.end = c->in.head + rest;
  } else if (rest) {
    c->in.head = c->in.end = 0;
    memcpy(buffer_append(&c->in, rest), p, rest);
  }
  if (!rest) buffer_release(&c->in);
  if (firehose.end - firehose.head >= FLUSH_AT && !firehose.wants_output) uplink_flush();
}

static void accept_clients(void) {
  for (int i = 0; i < EVENTS; i++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
        fprintf(stderr, "epoll-relay: accept: %s\n", strerror(errno));
        usleep(10000);
      }
      return;
    }
    set_no_delay(fd);
    struct client *c = calloc(1, sizeof *c);
    if (!c) die("out of memory");
    c->fd = fd;
    c->armed = EPOLLIN;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl: %s", strerror(errno));
  }
}

// ---- downlink -------------------------------------------------------------------------------------------------------

#ifdef FAULTS
// Only in `faulty-relay`, which exists to show that the checks of voltlane-bench can fail: the `fault_at`-th data
// packet for a client suffers the fault named by --fault.
static const char *fault;
static long fault_at = 1000, fault_count;

static void append(struct client *c, const uint8_t *data, size_t count) {
  uint8_t *out = buffer_append(&c->out, SIZE_PREFIX + count);
  store32(out, count);
  memcpy(out + SIZE_PREFIX, data, count);
  mark_dirty(c);
}

// Whether the packet was dealt with here.
static bool deliver_wrongly(struct client *c, const uint8_t *data, size_t count) {
  static uint8_t held[MAX_PACKET];
  static size_t held_count;
  static uint64_t held_id;
  if (held_id && held_id == c->id) {  // swapped: the packet held back comes after its successor
    append(c, data, count);
    append(c, held, held_count);
    held_id = 0;
    return true;
  }
  if (!fault || ++fault_count != fault_at) return false;
  if (!strcmp(fault, "corrupt")) {
    append(c, data, count);
    if (count) c->out.bytes[c->out.end - 1] ^= 1;
  } else if (!strcmp(fault, "duplicate")) {
    append(c, data, count);
    append(c, data, count);
  } else if (!strcmp(fault, "swap")) {
    memcpy(held, data, held_count = count);
    held_id = c->id;
  } else if (!strcmp(fault, "truncate")) {
    append(c, data, count ? count - 1 : 0);
  } else if (!strcmp(fault, "misroute")) {
    for (uint64_t id = 1; id < next_id; id++)
      if (by_id[id] && by_id[id] != c) {
        append(by_id[id], data, count);
        break;
      }
  } else if (!strcmp(fault, "close")) {
    session_end(c, "kicked");
    client_finish(c);
  } else if (strcmp(fault, "drop")) {
    die("unknown fault '%s'", fault);
  }
  return true;
}
#endif

static inline void deliver(const uint8_t *packet, size_t size) {
  if (size < TAG) return;  // too short: skipped
  uint64_t id = load64(packet);
  uint8_t flag = packet[8];
  if (flag != FLAG_DATA && flag != FLAG_KICK) return;  // unknown or in the wrong direction: skipped
  struct client *c = id < next_id ? by_id[id] : NULL;
  if (!c) {
    if (!uplink_full()) uplink_failure(id, "unknown client");
    return;
  }
  if (flag == FLAG_KICK) {
    session_end(c, "kicked");
    client_finish(c);
    return;
  }
  if (pending(&c->out) >= CLIENT_LIMIT) {
    session_end(c, "buffer overflow");
    client_close(c);
    return;
  }
  size_t count = size - TAG;
#ifdef FAULTS
  if (deliver_wrongly(c, packet + TAG, count)) return;
#endif
  uint8_t *out = buffer_append(&c->out, SIZE_PREFIX + count);
  store32(out, count);
  memcpy(out + SIZE_PREFIX, packet + TAG, count);
  mark_dirty(c);
}

static void firehose_read(void) {
  struct buffer *in = &firehose.in;
  buffer_append(in, READ_SIZE);
  in->end -= READ_SIZE;
  ssize_t n = recv(firehose.fd, in->bytes + in->end, READ_SIZE, MSG_DONTWAIT);
  if (n <= 0) {
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    firehose_lost(n == 0 ? "the backend closed" : strerror(errno));
    return;
  }
  in->end += n;
  while (pending(in) >= SIZE_PREFIX) {
    uint8_t *p = in->bytes + in->head;
    size_t size = load32(p);
    if (size > MAX_PACKET + TAG) {
      firehose_lost("a packet is too large");
      return;
    }
    if (pending(in) < SIZE_PREFIX + size) break;
    deliver(p + SIZE_PREFIX, size);
    in->head += SIZE_PREFIX + size;
  }
  if (in->head == in->end) {
    in->head = in->end = 0;
  } else if (in->head) {  // an unfinished packet moves to the front, so that the buffer stays small and warm
    memmove(in->bytes, in->bytes + in->head, pending(in));
    in->end -= in->head;
    in->head = 0;
  }
}

// ---- dialling -------------------------------------------------------------------------------------------------------

static void dial_later(void) {
  firehose.delay_ms = firehose.delay_ms ? firehose.delay_ms * 2 : 50;
  if (firehose.delay_ms > 2000) firehose.delay_ms = 2000;
  firehose.dial_at = now_ms() + firehose.delay_ms;
}

static void firehose_lost(const char *why) {
  if (firehose.connected) fprintf(stderr, "epoll-relay: backend lost: %s\n", why);
  close(firehose.fd);
  firehose.fd = -1;
  firehose.connected = firehose.wants_output = false;
  buffer_release(&firehose.in);
  uplink_settle();
  firehose.head = firehose.start;  // the packet that was partly handed over is sent again whole
  dial_later();
}

// Every live session is named first on every connection but the first.
static void sweep(void) {
  size_t rest = firehose.end - firehose.head;
  uint8_t *old = firehose.out, *from = old + firehose.head;
  firehose.out = NULL;
  firehose.capacity = firehose.start = firehose.head = firehose.end = 0;
  for (uint64_t id = 1; id < next_id; id++)
    if (by_id[id]) uplink_append(id, FLAG_RECONNECTION, (const uint8_t *)"", 0);
  if (rest) {
    if (firehose.capacity - firehose.end < rest) uplink_make_room(rest);
    memcpy(firehose.out + firehose.end, from, rest);
    firehose.end += rest;
  }
  free(old);
}

static void firehose_connected(void) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(firehose.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error) {
    firehose_lost(strerror(error));
    return;
  }
  firehose.connected = true;
  firehose.wants_output = true;  // as it was registered
  firehose.delay_ms = 0;
  fprintf(stderr, "epoll-relay: connected to the backend at %s\n", backend_name);
  if (firehose.was_connected) sweep();
  firehose.was_connected = true;
  if (firehose.head == firehose.end) firehose_arm(false);
}

static void dial(void) {
  struct address a;
  firehose.dial_at = 0;
  if (!resolve(backend_name, false, &a)) {
    dial_later();
    return;
  }
  firehose.fd = stream_socket(a.any.sa_family);
  set_no_delay(firehose.fd);
  if (connect(firehose.fd, &a.any, a.length) && errno != EINPROGRESS) {
    firehose_lost(strerror(errno));
    return;
  }
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &marker_firehose};
  epoll_ctl(poller, EPOLL_CTL_ADD, firehose.fd, &e);
}

// ---- start and loop -------------------------------------------------------------------------------------------------

static void turn(void) {
  struct epoll_event events[EVENTS];
  int timeout = -1;
  if (firehose.fd < 0) {
    int64_t left = firehose.dial_at - now_ms();
    timeout = left > 0 ? (int)left : 0;
  }
  int count = epoll_wait(poller, events, EVENTS, timeout);
  if (firehose.fd < 0 && now_ms() >= firehose.dial_at) dial();

  for (int i = 0; i < count; i++) {
    void *what = events[i].data.ptr;
    uint32_t ready = events[i].events;
    if (what == &marker_listener) {
      accept_clients();
    } else if (what == &marker_firehose) {
      if (firehose.fd < 0) continue;
      if (!firehose.connected) {
        firehose_connected();
        continue;
      }
      if (ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) firehose_read();
    } else {
      struct client *c = what;
      if (c->state == CLOSED) continue;
      if (ready & EPOLLOUT) mark_dirty(c);
      if (ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        if (ready & (EPOLLHUP | EPOLLERR) && c->paused) {  // both ways are shut: nothing more can come or go
          session_end(c, "stale timeout");
          client_close(c);
        } else {
          client_read(c);
        }
      }
    }
  }

  uplink_flush();
  for (size_t i = 0; i < dirty_count; i++) {
    dirty[i]->dirty = false;
    client_send(dirty[i]);
  }
  dirty_count = 0;
  for (size_t i = 0; i < dead_count; i++) {
    if (dead[i]->paused) {  // the list of paused clients still names it
      dead[i]->paused = false;
      for (size_t k = 0; k < paused_count; k++)
        if (paused[k] == dead[i]) paused[k--] = paused[--paused_count];
    }
    buffer_release(&dead[i]->in);
    buffer_release(&dead[i]->out);
    free(dead[i]);
  }
  dead_count = 0;
}

int main(int count, char **arguments) {
  const char *listen_name = NULL;
  int client_receive_buffer = 0;
  for (int i = 1; i < count; i++) {
    const char *flag = arguments[i], *value = i + 1 < count ? arguments[++i] : NULL;
    if (!value)
      die("usage: --listen HOST:PORT --backend HOST:PORT [--congestion-control NAME] "
          "[--client-receive-buffer BYTES]");
    if (!strcmp(flag, "--listen")) listen_name = value;
    else if (!strcmp(flag, "--backend")) backend_name = value;
    else if (!strcmp(flag, "--congestion-control")) congestion_control = value;
    else if (!strcmp(flag, "--client-receive-buffer")) client_receive_buffer = atoi(value);
#ifdef FAULTS
    else if (!strcmp(flag, "--fault")) fault = value;
    else if (!strcmp(flag, "--fault-at")) fault_at = atol(value);
#endif
    else die("unknown flag %s", flag);
  }
  if (!listen_name || !backend_name) die("--listen and --backend are needed");

  signal(SIGPIPE, SIG_IGN);
  raise_file_limit();
  shared_input = malloc(COPY_MAX + READ_SIZE);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!shared_input || poller < 0) die("start: %s", strerror(errno));

  listener = listen_at(listen_name, client_receive_buffer);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = &marker_listener};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e)) die("epoll_ctl: %s", strerror(errno));
  dial();
  for (;;) turn();
}
