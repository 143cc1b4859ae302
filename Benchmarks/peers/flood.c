// A load that costs a relay far more than it costs whoever makes it, so that on two CPUs one thread of the relay is
// full while a CPU is idle: small packets for some clients in turn, written from a blob that was made before, and
// discarded in the kernel where they arrive; and newcomers, each of whom has its key checked. It is the backend and all
// clients.
//
// A client of its own sends a probe every millisecond, which comes back between the other packets: its round trips say
// what a client notices. Prints a JSON object each interval; ends with 1 if a packet was lost.
#define _GNU_SOURCE
#include "sockets.h"

#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <sys/uio.h>
#include <time.h>

enum { tag_size = 13, most_newcomers = 64, most_probes = 1 << 16, drain_every = 20000000, millisecond = 1000000 };
static const uint64_t second = 1000000000;

// What every new client says: version 2, and a valid point, whose secret nobody needs.
static const uint8_t greeting[] = {
    2,    0,    0,    0,    1,    2,    35,   0,    0,    0,    2,    33,   0x03, 0x25, 0xb4, 0xd5, 0xc7,
    0x37, 0x33, 0x02, 0xff, 0x6d, 0x40, 0xbe, 0xa1, 0xfb, 0xde, 0xb2, 0x76, 0x60, 0xac, 0x72, 0x37, 0x6d,
    0x6d, 0x1c, 0x73, 0x0e, 0xc1, 0x73, 0xb7, 0x75, 0x2d, 0x36, 0x2d};

static const char *relay_name, *backend_name;
static int clients = 16, silent, size;
static double seconds = 5, idle_seconds, rate, day_floor = -1, newcomers_per_second, interval = 0.25;

static struct address relay;
static int backend = -1, probe;
static uint64_t probe_id;
static int *sockets;
static uint64_t *ids;

static uint64_t clock_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * second + (uint64_t)time.tv_nsec;
}
static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

// ---- handshakes -----------------------------------------------------------------------------------------------------

// What of a handshake has come.
struct handshake {
  int fd;
  bool said_hello;
  size_t count;
  uint8_t bytes[256];
};

// Goes on with a handshake without waiting. 1: done, and `id` is the client's; 0: not yet; -1: refused.
static int proceed(struct handshake *h, uint64_t *id) {
  if (!h->said_hello) {
    ssize_t sent = send(h->fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
    if ((size_t)sent < sizeof greeting) die("a greeting was sent in part");
    h->said_hello = true;
  }
  ssize_t got = recv(h->fd, h->bytes + h->count, sizeof h->bytes - h->count, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
  h->count += (size_t)got;
  for (size_t at = 0; at + 4 < h->count;) {
    uint32_t length;
    memcpy(&length, h->bytes + at, 4);
    if (length > sizeof h->bytes - 4) die("the relay's handshake has a packet of %u bytes", length);
    if (at + 4 + length > h->count) break;
    const uint8_t *packet = h->bytes + at + 4;
    if (packet[0] == 3) {
      // A varint: below 251 the byte itself, else as many bytes as its first says.
      *id = 0;
      if (packet[1] < 251) *id = packet[1];
      else memcpy(id, packet + 2, packet[1] == 251 ? 2 : packet[1] == 252 ? 4 : 8);
      return 1;
    }
    at += 4 + length;
  }
  return 0;
}

static struct handshake begin_handshake(void) {
  struct handshake h = {.fd = stream_socket(relay.any.sa_family)};
  set_no_delay(h.fd);
  if (connect(h.fd, &relay.any, relay.length) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  return h;
}

static int connect_client(uint64_t *id) {
  struct handshake h = begin_handshake();
  for (uint64_t deadline = now_ns() + 15 * second; now_ns() < deadline;) {
    struct pollfd ready = {.fd = h.fd, .events = h.said_hello ? POLLIN : POLLOUT};
    poll(&ready, 1, 100);
    int done = proceed(&h, id);
    if (done > 0) return h.fd;
    if (done < 0) {
      // Nobody listens there yet.
      close(h.fd);
      usleep(10000);
      h = begin_handshake();
    }
  }
  die("no client could connect to %s", relay_name);
  return -1;
}

// Clients that come, get their id, and go.
static struct handshake newcomers[most_newcomers];
static uint64_t newcomers_due, newcomers_begun, newcomers_done;

static void serve_newcomers(void) {
  for (int at = 0; at < most_newcomers; at++) {
    struct handshake *h = &newcomers[at];
    uint64_t id;
    if (h->fd) {
      int done = proceed(h, &id);
      if (!done) continue;
      newcomers_done += done > 0;
      // A reset leaves no socket behind that waits.
      struct linger linger = {1, 0};
      setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
      close(h->fd);
      h->fd = 0;
    }
    if (newcomers_begun < newcomers_due) *h = begin_handshake(), newcomers_begun++;
  }
}

// ---- packets for the clients ----------------------------------------------------------------------------------------

static uint8_t *blob;
static size_t packet_bytes, blob_bytes, blob_at;
// Whole packets of the blob that were handed to the socket, and bytes that the clients have taken.
static uint64_t sent_bytes, drained_bytes;
// Probes on their way back, which go between two packets.
static uint8_t echoes[1 << 20];
static size_t echoes_begin, echoes_end;

static void fill_blob(void) {
  packet_bytes = (size_t)(tag_size + size);
  size_t rounds = ((1 << 20) / packet_bytes + (size_t)clients - 1) / (size_t)clients;
  blob_bytes = rounds * (size_t)clients * packet_bytes;
  blob = calloc(1, blob_bytes);
  uint32_t length = (uint32_t)(tag_size - 4 + size);
  for (size_t at = 0, packet = 0; at < blob_bytes; at += packet_bytes, packet++) {
    memcpy(blob + at, &length, 4);
    memcpy(blob + at + 4, &ids[packet % (size_t)clients], 8);
  }
}

// Writes what is due: the rest of a packet, then the echoes, then up to `packets` more. False if the socket is full.
static bool send_down(uint64_t packets) {
  size_t rest = (packet_bytes - blob_at % packet_bytes) % packet_bytes;
  size_t from = (blob_at + rest) % blob_bytes, more = blob_bytes - from;
  if (packets < more / packet_bytes) more = packets * packet_bytes;
  struct iovec parts[] = {
      {blob + blob_at, rest}, {echoes + echoes_begin, echoes_end - echoes_begin}, {blob + from, more}};
  size_t all = rest + (echoes_end - echoes_begin) + more;
  if (!all) return true;
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
  ssize_t sent = sendmsg(backend, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) die("the relay has gone: %s", strerror(errno));
  size_t left = sent > 0 ? (size_t)sent : 0;
  size_t first = left < rest ? left : rest;
  left -= first;
  size_t second_part = left < echoes_end - echoes_begin ? left : echoes_end - echoes_begin;
  left -= second_part;
  echoes_begin += second_part;
  if (echoes_begin == echoes_end) echoes_begin = echoes_end = 0;
  blob_at = (blob_at + first + left) % blob_bytes;
  sent_bytes += first + left;
  return sent == (ssize_t)all;
}

static void drain_clients(void) {
  for (int client = 0; client < clients; client++) {
    // Discarded in the kernel.
    ssize_t got = recv(sockets[client], NULL, 1 << 30, MSG_TRUNC | MSG_DONTWAIT);
    if (got > 0) drained_bytes += (uint64_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN)) die("the relay has ended client %d", client);
  }
}

// ---- the probe ------------------------------------------------------------------------------------------------------

static uint64_t probes_sent, probes_back;
static uint32_t round_trips[most_probes], trips;

static void send_probe(uint64_t now) {
  struct {
    uint32_t length;
    uint64_t time;
  } __attribute__((packed)) packet = {8, now};
  // What does not fit is late enough to be noticed anyway.
  if (send(probe, &packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof packet) probes_sent++;
}

// What comes up: the probe's packets go back, all else is of no interest.
static void read_backend(void) {
  static uint8_t bytes[1 << 16];
  static size_t count;
  ssize_t got = recv(backend, bytes + count, sizeof bytes - count, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN)) die("the relay has closed the backend's connection");
  if (got > 0) count += (size_t)got;
  size_t at = 0;
  while (count - at >= 4) {
    uint32_t length;
    memcpy(&length, bytes + at, 4);
    if (length > sizeof bytes - 4) die("a packet of %u bytes for the backend", length);
    if (count - at < 4 + length) break;
    if (!memcmp(bytes + at + 4, &probe_id, 8) && bytes[at + 12] == 0 && sizeof echoes - echoes_end >= 4 + length) {
      memcpy(echoes + echoes_end, bytes + at, 4 + length);
      echoes_end += 4 + length;
    }
    at += 4 + length;
  }
  memmove(bytes, bytes + at, count -= at);
}

static void read_probe(uint64_t now) {
  static uint8_t bytes[12 * 1024];
  static size_t count;
  ssize_t got = recv(probe, bytes + count, sizeof bytes - count, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN)) die("the relay has ended the probe");
  if (got > 0) count += (size_t)got;
  size_t at = 0;
  for (; count - at >= 12; at += 12) {
    uint64_t time;
    memcpy(&time, bytes + at + 4, 8);
    if (trips < most_probes) round_trips[trips++] = (uint32_t)((now - time) / 1000);
    probes_back++;
  }
  memmove(bytes, bytes + at, count -= at);
}

// ---- the report -----------------------------------------------------------------------------------------------------

static int by_time(const void *one, const void *other) {
  uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
  return (a > b) - (a < b);
}

static void report(double time, double offered, bool is_idle) {
  static uint64_t last_drained, last_newcomers, last_cpu;
  uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  qsort(round_trips, trips, sizeof *round_trips, by_time);
  printf(
      "{\"time\": %.3f, \"offered\": %.0f, \"packets\": %.0f, \"newcomers\": %llu, \"probes\": %u, \"p50_us\": %u, "
      "\"p99_us\": %u, \"max_us\": %u, \"cpu_ns\": %llu, \"idle\": %s}\n",
      time, offered, (double)(drained_bytes - last_drained) / (4 + size),
      (unsigned long long)(newcomers_done - last_newcomers), trips, trips ? round_trips[trips / 2] : 0,
      trips ? round_trips[trips - 1 - trips / 100] : 0, trips ? round_trips[trips - 1] : 0,
      (unsigned long long)(cpu - last_cpu),
      is_idle ? "true" : "false");
  fflush(stdout);
  last_drained = drained_bytes, last_newcomers = newcomers_done, last_cpu = cpu, trips = 0;
}

// ---- the run --------------------------------------------------------------------------------------------------------

// Packets a second at a moment: over a day, one wave from the floor to the rate and back.
static double rate_at(double time) {
  if (day_floor < 0) return rate;
  return day_floor + (rate - day_floor) * (1 - cos(2 * M_PI * time / seconds)) / 2;
}

static void run(void) {
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t last = end + (uint64_t)(idle_seconds * 1e9);
  uint64_t next_report = start + (uint64_t)(interval * 1e9), next_drain = start, next_probe = start;
  uint64_t before = start, reported = start;
  // Packets that are due and not sent yet; and newcomers, of whom parts come due, too.
  double due = 0, offered = 0, newcomers_owed = 0;
  for (uint64_t now = start; now < last; now = now_ns()) {
    bool is_idle = now >= end, is_full = false;
    double passed = (double)(now - before) / 1e9;
    before = now;
    if (!is_idle && rate > 0) {
      double more = rate_at((double)(now - start) / 1e9) * passed;
      due += more, offered += more;
      // What the relay cannot take is not made up for later.
      double most = rate * 0.02 + 1;
      if (due > most) due = most;
    }
    if (!is_idle) {
      newcomers_owed += newcomers_per_second * passed;
      newcomers_due = (uint64_t)newcomers_owed;
    }
    uint64_t sent_before = sent_bytes;
    is_full = !send_down(is_idle ? 0 : rate > 0 ? (uint64_t)due : UINT64_MAX);
    due -= (double)(sent_bytes - sent_before) / (double)packet_bytes;
    if (due < 0) due = 0;
    if (now >= next_probe) {
      send_probe(now);
      next_probe = now + millisecond;
      serve_newcomers();
    }
    if (now >= next_drain) drain_clients(), next_drain = now + drain_every;
    if (now >= next_report) {
      report((double)(now - start) / 1e9, rate > 0 ? offered : 0, is_idle);
      offered = 0;
      reported = next_report;
      next_report = reported + (uint64_t)(interval * 1e9);
    }
    struct pollfd ready[] = {
        {.fd = backend, .events = (short)(POLLIN | (is_full ? POLLOUT : 0))}, {.fd = probe, .events = POLLIN}};
    struct timespec pause = {0, rate > 0 || is_full || is_idle ? millisecond / 2 : 0};
    ppoll(ready, 2, &pause, NULL);
    if (ready[0].revents & POLLIN) read_backend();
    if (ready[1].revents & POLLIN) read_probe(now_ns());
  }
}

// Whether all that was sent arrives.
static bool everything_comes(void) {
  for (uint64_t deadline = now_ns() + 5 * second; now_ns() < deadline; usleep(1000)) {
    send_down(0);
    drain_clients();
    if (drained_bytes / (uint64_t)(4 + size) * packet_bytes == sent_bytes) return true;
  }
  return false;
}

static double number(const char *text, double least) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= least)) die("'%s' is no number from %g on", text, least);
  return value;
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"relay", 1, 0, 'r'},      {"backend-listen", 1, 0, 'b'}, {"clients", 1, 0, 'c'},
      {"silent", 1, 0, 'S'},     {"size", 1, 0, 's'},           {"seconds", 1, 0, 't'},        {"idle", 1, 0, 'i'},
      {"rate", 1, 0, 'R'},       {"day", 1, 0, 'd'},            {"newcomers", 1, 0, 'n'},
      {"interval", 1, 0, 'I'},   {"congestion-control", 1, 0, 'C'},
      {0}};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) switch (option) {
      case 'r': relay_name = optarg; break;
      case 'b': backend_name = optarg; break;
      case 'c': clients = (int)number(optarg, 1); break;
      case 'S': silent = (int)number(optarg, 0); break;
      case 's': size = (int)number(optarg, 0); break;
      case 't': seconds = number(optarg, 0.1); break;
      case 'i': idle_seconds = number(optarg, 0); break;
      case 'R': rate = number(optarg, 1); break;
      case 'd': day_floor = number(optarg, 0); break;
      case 'n': newcomers_per_second = number(optarg, 0); break;
      case 'I': interval = number(optarg, 0.01); break;
      case 'C': congestion_control = optarg; break;
      default:
        die("usage: --relay ADDRESS --backend-listen ADDRESS [--clients N] [--silent N] [--size BYTES] "
            "[--seconds S] [--idle S] [--rate PACKETS-A-SECOND [--day LEAST]] [--newcomers N-A-SECOND] [--interval S] "
            "[--congestion-control NAME]");
    }
  if (!relay_name || !backend_name) die("--relay and --backend-listen are needed");
  if (day_floor >= 0 && rate <= day_floor) die("--day needs a --rate above it");
  raise_file_limit();
  if (!resolve(relay_name, false, &relay)) die("cannot resolve '%s'", relay_name);
  int listener = listen_at(backend_name, 0);
  for (uint64_t deadline = now_ns() + 15 * second; (backend = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0;) {
    if (now_ns() > deadline) die("no relay has dialled %s", backend_name);
    usleep(10000);
  }
  set_no_delay(backend);
  sockets = calloc((size_t)clients, sizeof *sockets);
  ids = calloc((size_t)clients, sizeof *ids);
  for (int client = 0; client < clients; client++) sockets[client] = connect_client(&ids[client]);
  probe = connect_client(&probe_id);
  // They are only there.
  for (uint64_t id; silent > 0; silent--) connect_client(&id);
  fill_blob();
  run();
  bool complete = everything_comes();
  if (!complete)
    fprintf(
        stderr, "flood: sent %.0f packets, of which %.0f came\n", (double)sent_bytes / (double)packet_bytes,
        (double)drained_bytes / (4 + size));
  return complete ? 0 : 1;
}
