/* What a packet to a thousand clients costs through libvoltlane, one by one and by multicast, in turns:
 *
 *     multicast CLIENTS-PORT BACKEND-PORT RELAY-PID [SECONDS-A-TURN [TURNS]]
 *
 * Start it beside a relay that dials BACKEND-PORT. Each turn prints a line: size, how, nanoseconds of the relay's CPU
 * and of the backend's thread a delivered packet, bytes over the firehose a delivered packet, rounds. The next packet
 * goes out when all clients have the one before. The clients are another process, which only counts bytes. */
#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <voltlane/voltlane.h>

#define CLIENTS 1000

static uint64_t ids[CLIENTS];

static void fail(const char *what) {
  fprintf(stderr, "multicast: %s: %s\n", what, vl_error_text());
  exit(1);
}

static double seconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The CPU time of all threads of a process, in seconds. */
static double cpu_of(int process) {
  char path[64], file[384];
  double sum = 0;
  snprintf(path, sizeof path, "/proc/%d/task", process);
  DIR *threads = opendir(path);
  if (!threads) fail("there is no such process");
  for (struct dirent *entry; (entry = readdir(threads));) {
    unsigned long long nanoseconds;
    snprintf(file, sizeof file, "%s/%s/schedstat", path, entry->d_name);
    FILE *statistics = fopen(file, "r");
    if (!statistics) continue;
    if (fscanf(statistics, "%llu", &nanoseconds) == 1) sum += (double)nanoseconds / 1e9;
    fclose(statistics);
  }
  closedir(threads);
  return sum;
}

static void send_all(int socket, const unsigned char *bytes, size_t size) {
  while (size > 0) {
    ssize_t count = send(socket, bytes, size, 0);
    if (count <= 0) fail("the relay takes nothing");
    bytes += count;
    size -= (size_t)count;
  }
}

/* Connects a client, and shakes hands; gives its socket. */
static int connected(int port, uint64_t *id) {
  struct sockaddr_in place = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(descriptor, (struct sockaddr *)&place, sizeof place)) fail("no relay");
  vl_client_codec codec;
  vl_client_event event = {.kind = VL_CLIENT_MORE};
  unsigned char buffer[4096];
  size_t filled = 0, used;
  vl_client_codec_init(&codec, NULL, NULL, 0);
  while (event.kind != VL_CLIENT_READY) {
    const unsigned char *output;
    size_t size = vl_client_codec_output(&codec, &output);
    send_all(descriptor, output, size);
    vl_client_codec_sent(&codec, size);
    if (vl_client_codec_read(&codec, buffer, filled, &used, &event)) fail("no handshake");
    filled -= used;
    memmove(buffer, buffer + used, filled);
    if (event.kind != VL_CLIENT_MORE) continue;
    ssize_t count = recv(descriptor, buffer + filled, sizeof buffer - filled, 0);
    if (count <= 0) fail("refused");
    filled += (size_t)count;
  }
  vl_session session;
  vl_client_codec_session(&codec, &session);
  *id = session.client_id;
  return descriptor;
}

/* The clients: for each number that they are told, they say so when that many bytes have come. */
static void play_clients(int port, int told, int say) {
  static unsigned char waste[1 << 18];
  struct epoll_event events[256];
  uint64_t expected;
  int epoll = epoll_create1(0);
  for (size_t i = 0; i < CLIENTS; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = connected(port, &ids[i])};
    epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
  }
  if (write(say, ids, sizeof ids) != sizeof ids) exit(1);
  while (read(told, &expected, sizeof expected) == sizeof expected) {
    for (uint64_t come = 0; come < expected;) {
      int count = epoll_wait(epoll, events, 256, -1);
      for (int i = 0; i < count; i++) {
        ssize_t size = recv(events[i].data.fd, waste, sizeof waste, MSG_DONTWAIT);
        if (size == 0) exit(1);
        if (size > 0) come += (uint64_t)size;
      }
    }
    if (write(say, &expected, sizeof expected) != sizeof expected) exit(1);
  }
  exit(0);
}

static void send_round(vl_backend *backend, bool multicast, const unsigned char *packet, size_t size) {
  if (multicast) {
    if (vl_backend_multicast(backend, VL_FLAG_DATA, ids, CLIENTS, packet, size, -1)) fail("not sent");
    return;
  }
  for (size_t i = 0; i < CLIENTS; i++) {
    if (vl_backend_send(backend, ids[i], packet, size, -1)) fail("not sent");
  }
}

int main(int count, char **arguments) {
  if (count < 4) return 64;
  int relay = atoi(arguments[3]), turns = count > 5 ? atoi(arguments[5]) : 8, told[2], said[2];
  double turn = count > 4 ? atof(arguments[4]) : 0.5;
  static unsigned char packet[1024];
  char address[64];
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (pipe(told) || pipe(said)) return 1;
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    play_clients(atoi(arguments[1]), told[0], said[1]);
  }
  snprintf(address, sizeof address, "127.0.0.1:%s", arguments[2]);
  vl_backend *backend;
  vl_backend_event event;
  if (vl_backend_listen(&backend, address, NULL)) fail("no backend");
  for (size_t have = 0; have < sizeof ids;) {
    ssize_t size = read(said[0], (char *)ids + have, sizeof ids - have);
    if (size <= 0) return 1;
    have += (size_t)size;
  }
  do {
    if (vl_backend_receive(backend, &event, -1)) fail("no relay");
  } while (event.kind != VL_BACKEND_CONNECTED);
  for (size_t size = 64; size <= sizeof packet; size *= sizeof packet / 64) {
    for (int number = 0; number < 2 * turns; number++) {
      bool multicast = number % 2;
      size_t of_multicast = VL_MULTICAST_HEADER_SIZE + sizeof ids + size;
      size_t bytes = multicast ? of_multicast : CLIENTS * (VL_TAGGED_HEADER_SIZE + size);
      uint64_t awaited = CLIENTS * (VL_PACKET_HEADER_SIZE + size), rounds = 0;
      double backend_time = 0, begin = seconds(CLOCK_MONOTONIC), relay_time = cpu_of(relay);
      while (seconds(CLOCK_MONOTONIC) < begin + turn) {
        if (write(told[1], &awaited, sizeof awaited) != sizeof awaited) return 1;
        double before = seconds(CLOCK_THREAD_CPUTIME_ID);
        send_round(backend, multicast, packet, size);
        backend_time += seconds(CLOCK_THREAD_CPUTIME_ID) - before;
        if (read(said[0], &awaited, sizeof awaited) != sizeof awaited) return 1;
        rounds++;
      }
      double packets = (double)rounds * CLIENTS;
      printf(
          "%zu %s %.1f %.2f %.2f %llu\n", size, multicast ? "multicast" : "plain",
          (cpu_of(relay) - relay_time) / packets * 1e9, backend_time / packets * 1e9, (double)bytes / CLIENTS,
          (unsigned long long)rounds);
      fflush(stdout);
    }
  }
  vl_backend_free(backend);
  return 0;
}
