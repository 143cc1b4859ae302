// The floor under every relay: what the kernel alone takes for the same bytes on the same sockets by the same calls.
//
// One child process stands where the relay stands, between clients and an echo backend, and makes an epoll relay's
// calls with no protocol work at all: nothing is parsed, nothing is copied, no packet is looked at. It knows the size
// of every packet, so it counts bytes: what it read from a client it owes to the backend (with 9 bytes more a packet,
// for the tag), and what comes back from the backend it owes to the clients, in the order in which it took it from
// them. All it sends comes out of one static buffer. The parent is clients and backend on one thread, like
// voltlane-bench.
//
// A relay's CPU time above this figure is its own; nothing below it can be reached with these calls.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, SEND_SIZE = 1024 * 1024, EVENTS = 256, SIZE_PREFIX = 4, TAG = 9 };

static int client_count = 1, size = 64, window = 1;
static double seconds = 5, warmup = 1;
static bool json;
static const char *congestion_control;

static size_t client_frame, firehose_frame;  // bytes of a packet on either link
static uint8_t input[READ_SIZE], output[SEND_SIZE];
static int poller;

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// One end of a connection. What it has to send is only a number.
struct end {
  int fd;
  size_t rest;  // bytes read of a packet that is not whole
  size_t owed;  // bytes to send
  bool dirty, wants_output;
};

static struct end **dirty;
static int dirty_count;

static void owe(struct end *e, size_t bytes) {
  e->owed += bytes;
  if (e->dirty) return;
  e->dirty = true;
  dirty[dirty_count++] = e;
}

static void watch(struct end *e, int operation, bool wants_output) {
  struct epoll_event event = {.events = EPOLLIN | (wants_output ? EPOLLOUT : 0), .data.ptr = e};
  e->wants_output = wants_output;
  if (epoll_ctl(poller, operation, e->fd, &event)) die("epoll_ctl");
}

// One send for each socket that owes something.
static void flush(void) {
  for (int i = 0; i < dirty_count; i++) {
    struct end *e = dirty[i];
    e->dirty = false;
    size_t count = e->owed < SEND_SIZE ? e->owed : SEND_SIZE;
    ssize_t n = count ? send(e->fd, output, count, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) exit(0);  // the other side is gone: the measurement is over
    if (n > 0) e->owed -= n;
    if ((e->owed > 0) != e->wants_output) watch(e, EPOLL_CTL_MOD, e->owed > 0);
  }
  dirty_count = 0;
}

// Whole packets read from a socket in one receive.
static size_t packets_read(struct end *e, size_t frame) {
  ssize_t n = recv(e->fd, input, READ_SIZE, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN)) exit(0);
  if (n < 0) return 0;
  size_t have = e->rest + n;
  e->rest = have % frame;
  return have / frame;
}

static void tune(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (congestion_control &&
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_control, strlen(congestion_control)))
    die(congestion_control);
}

static int listen_anywhere(struct sockaddr_in *address) {
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof *address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  tune(fd);
  if (bind(fd, (struct sockaddr *)address, length) || listen(fd, 4096)) die("listen");
  getsockname(fd, (struct sockaddr *)address, &length);
  return fd;
}

static int connect_to(const struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  tune(fd);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address)) die("connect");
  return fd;
}

static int accept_one(int listener) {
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  tune(fd);
  return fd;
}

// ---- the child: where the relay stands ------------------------------------------------------------------------------

static void relay(struct end *firehose) {
  // Whose packets are under way to the backend and back, in order: a ring that all windows together fit into.
  struct run {
    struct end *client;
    size_t packets;
  };
  size_t capacity = (size_t)client_count * window + 1, head = 0, tail = 0;
  struct run *under_way = calloc(capacity, sizeof *under_way);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      struct end *e = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) owe(e, 0);
      if (!(events[i].events & ~EPOLLOUT)) continue;
      if (e != firehose) {
        size_t packets = packets_read(e, client_frame);
        if (!packets) continue;
        under_way[tail] = (struct run){e, packets};
        tail = tail + 1 == capacity ? 0 : tail + 1;
        owe(firehose, packets * firehose_frame);
      } else {
        size_t packets = packets_read(e, firehose_frame);
        while (packets) {
          struct run *run = &under_way[head];
          size_t taken = run->packets < packets ? run->packets : packets;
          owe(run->client, taken * client_frame);
          packets -= taken;
          run->packets -= taken;
          if (!run->packets) head = head + 1 == capacity ? 0 : head + 1;
        }
      }
    }
    flush();
  }
}

// ---- the parent: clients and backend --------------------------------------------------------------------------------

// What one process, or all of the machine (in steps of a tick), has used, in nanoseconds.
static uint64_t cpu_time(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
  FILE *file = fopen(path, "r");
  unsigned long long running = 0;
  if (!file || fscanf(file, "%llu", &running) != 1) die(path);
  fclose(file);
  return running;
}

static uint64_t machine_time(void) {
  FILE *file = fopen("/proc/stat", "r");
  unsigned long long user, nice, system, idle, waiting, irq, softirq;
  if (!file || fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &waiting, &irq,
                      &softirq) != 7)
    die("/proc/stat");
  fclose(file);
  return (user + nice + system + irq + softirq) * (1000000000 / sysconf(_SC_CLK_TCK));
}

struct reading {
  uint64_t time, relay, generator, machine;
};

static struct reading reading(pid_t child) {
  return (struct reading){now(), cpu_time(child), cpu_time(getpid()), machine_time()};
}

static void report(struct reading from, struct reading to, double done) {
  double relay = (to.relay - from.relay) / done, rate = done * 1e9 / (to.time - from.time);
  double generator = (to.generator - from.generator) / done, machine = (to.machine - from.machine) / done;
  if (json)
    printf("{\"relay_cpu_ns\":%.1f,\"generator_cpu_ns\":%.1f,\"machine_cpu_ns\":%.1f,\"packets_per_second\":%.1f}\n",
           relay, generator, machine, rate);
  else
    printf("floor: %d clients, %d B, window %d: relay CPU %.0f ns a round trip, %.0f round trips a second\n",
           client_count, size, window, relay, rate);
}

static void load(struct end *clients, struct end *backend, pid_t child) {
  for (int i = 0; i < client_count; i++) owe(&clients[i], window * client_frame);
  flush();
  uint64_t round_trips = 0, first = 0, start = now();
  struct reading began = {0};
  for (;;) {
    uint64_t time = now();
    if (!began.time) {
      if (time - start >= warmup * 1e9) began = reading(child), first = round_trips;
    } else if (time - began.time >= seconds * 1e9) {
      report(began, reading(child), round_trips - first);
      return;
    }
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, 100);
    for (int i = 0; i < count; i++) {
      struct end *e = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) owe(e, 0);
      if (!(events[i].events & ~EPOLLOUT)) continue;
      size_t frame = e == backend ? firehose_frame : client_frame;
      size_t packets = packets_read(e, frame);
      if (e != backend) round_trips += packets;
      if (packets) owe(e, packets * frame);
    }
    flush();
  }
}

int main(int count, char **arguments) {
  bool understood = true;
  for (int i = 1; i < count && understood; i++) {
    const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
    if (!strcmp(flag, "--json")) {
      json = true;
      continue;
    }
    i++;
    if (!strcmp(flag, "--clients")) client_count = atoi(value);
    else if (!strcmp(flag, "--size")) size = atoi(value);
    else if (!strcmp(flag, "--window")) window = atoi(value);
    else if (!strcmp(flag, "--seconds")) seconds = atof(value);
    else if (!strcmp(flag, "--warmup")) warmup = atof(value);
    else if (!strcmp(flag, "--congestion-control")) congestion_control = value;
    else understood = false;
  }
  if (!understood || client_count < 1 || size < 0 || window < 1 || seconds <= 0) {
    fprintf(stderr, "usage: floor [--clients N] [--size B] [--window W] [--seconds S] [--warmup S] "
                    "[--congestion-control NAME] [--json]\n");
    return 64;
  }
  memset(output, 1, sizeof output);  // or every page of it were the kernel's one zero page, hotter than any real buffer
  client_frame = SIZE_PREFIX + size;
  firehose_frame = SIZE_PREFIX + TAG + size;
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  struct end *clients = calloc(client_count, sizeof *clients), firehose = {0};
  dirty = calloc(client_count + 1, sizeof *dirty);

  struct sockaddr_in clients_address, backend_address;
  int clients_listener = listen_anywhere(&clients_address), backend_listener = listen_anywhere(&backend_address);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  poller = epoll_create1(0);
  for (int i = 0; i < client_count; i++) {
    clients[i].fd = child ? connect_to(&clients_address) : accept_one(clients_listener);
    watch(&clients[i], EPOLL_CTL_ADD, false);
  }
  firehose.fd = child ? accept_one(backend_listener) : connect_to(&backend_address);
  watch(&firehose, EPOLL_CTL_ADD, false);

  if (child == 0) relay(&firehose);
  load(clients, &firehose, child);
  kill(child, SIGKILL);
  return 0;
}
