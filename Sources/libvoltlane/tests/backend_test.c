/* The backend over sockets, with a relay in the test's hands: it dials, and sends what it is told. As in client_test.c
 * the source is in here, so that the test can look inside. */
#include "../src/backend.c"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/tcp.h>

#include "fake_relay.h"

static vl_backend *backend;

/* What looks names up, in the place of the system's: one name is not answered before this pipe is closed. */
static int unanswered[2];

int getaddrinfo(
    const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
    struct addrinfo **restrict result) {
  int (*system)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  char byte;
  if (node && strcmp(node, "unanswered.invalid") == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
    CHECK(read(unanswered[0], &byte, 1) == 0);
    return EAI_AGAIN;
  }
  /* ISO C has no way from an object's address to a function's. */
  *(void **)&system = dlsym(RTLD_NEXT, "getaddrinfo");
  return system(node, service, hints, result);
}

static void start(const vl_backend_options *options) {
  CHECK_EQUAL(vl_backend_listen(&backend, "127.0.0.1:0", options), VL_OK);
  CHECK(vl_backend_port(backend) > 0);
}

static void stop(void) {
  vl_backend_free(backend);
  backend = NULL;
}

static int dial(void) {
  struct sockaddr_in place = {
      .sin_family = AF_INET,
      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
      .sin_port = htons((uint16_t)vl_backend_port(backend))};
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(descriptor, (struct sockaddr *)&place, sizeof place) == 0);
  return descriptor;
}

static void say(int socket, uint64_t id, int flag, const void *data, size_t size) {
  unsigned char header[VL_TAGGED_HEADER_SIZE];
  vl_put_tagged_header(header, id, flag, size);
  write_all(socket, header, sizeof header);
  if (size > 0) write_all(socket, data, size);
}

static vl_backend_event next_of(int kind) {
  vl_backend_event event;
  CHECK_EQUAL(vl_backend_receive(backend, &event, -1), VL_OK);
  CHECK_EQUAL(event.kind, kind);
  return event;
}

static vl_backend_event next_data(uint64_t id, const char *text) {
  vl_backend_event event = next_of(VL_BACKEND_DATA);
  CHECK(event.client_id == id);
  CHECK(event.size == strlen(text) && memcmp(event.data, text, event.size) == 0);
  return event;
}

/* A connection that is current, and has ended its list. */
static int begin(unsigned long number) {
  int socket = dial();
  say(socket, 1, 0, "begin", 5);
  CHECK_EQUAL(next_of(VL_BACKEND_CONNECTED).number, number);
  next_of(VL_BACKEND_ANNOUNCED);
  next_data(1, "begin");
  return socket;
}

static void begin_quietly(int *socket) {
  vl_backend_event event;
  *socket = dial();
  /* A relay that has nothing to say is taken all the same, when it has said nothing for a while. */
  CHECK_EQUAL(vl_backend_receive(backend, &event, -1), VL_OK);
  CHECK_EQUAL(event.kind, VL_BACKEND_CONNECTED);
}

static void nobody_is_lost_and_nobody_is_there(void) {
  vl_backend_event event;
  int socket;
  start(NULL);
  CHECK_EQUAL(vl_backend_receive(backend, &event, 0), VL_E_TIMEOUT);
  CHECK_EQUAL(vl_backend_receive(backend, &event, 10), VL_E_TIMEOUT);
  CHECK_EQUAL(vl_backend_send(backend, 1, "x", 1, 0), VL_E_NOT_CONNECTED);
  CHECK_EQUAL(vl_backend_send(backend, 1, "x", 1, 10), VL_E_NOT_CONNECTED);
  CHECK_EQUAL(vl_backend_flush(backend, 10), VL_E_NOT_CONNECTED);
  begin_quietly(&socket);
  CHECK_EQUAL(vl_backend_send(backend, 1, "x", 1, 0), VL_OK);
  unsigned char data[16];
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  close(socket);
  event = next_of(VL_BACKEND_DISCONNECTED);
  CHECK(event.number == 1 && event.size > 0);
  stop();
}

static void *send_large_packets(void *argument) {
  const size_t sizes[] = {65536, 8388599, 1, 65536, 8388599, 0};
  unsigned char *data = malloc(8388599);
  for (unsigned i = 0; i < 6; i++) {
    fill(data, sizes[i], i);
    say(*(int *)argument, i, 0, data, sizes[i]);
  }
  free(data);
  return NULL;
}

static void received_packets_stay_until_the_next_receive(void) {
  const size_t sizes[] = {65536, 8388599, 1, 65536, 8388599, 0};
  start(NULL);
  int socket = begin(1);
  pthread_t thread = fake_relay_play(send_large_packets, &socket);
  for (unsigned i = 0; i < 6; i++) {
    vl_backend_event event = next_of(VL_BACKEND_DATA);
    CHECK_EQUAL(event.size, sizes[i]);
    CHECK(event.data && is_filled(event.data, event.size, i));
    for (int j = 0; j < 5; j++) CHECK_EQUAL(vl_backend_process(backend), VL_OK);
    CHECK_EQUAL(vl_backend_send(backend, 1, "x", 1, -1), VL_OK);
    CHECK(is_filled(event.data, event.size, i));
  }
  CHECK(pthread_join(thread, NULL) == 0);
  close(socket);
  stop();
}

static void strays_take_nothing_over(void) {
  static const char http[] = "GET / HTTP/1.1\r\nHost: backend\r\n\r\n";
  vl_backend_event event;
  start(NULL);
  int socket = begin(1), strays[12];
  for (int i = 0; i < 4; i++) {
    strays[i] = dial();
    write_all(strays[i], http, sizeof http);
  }
  /* A packet that is too short, a flag of the other direction, a packet that never ends, and silence. */
  strays[4] = dial();
  write_all(strays[4], "\3\0\0\0abc", 7);
  strays[5] = dial();
  say(strays[5], 1, VL_FLAG_KICK, "", 0);
  strays[6] = dial();
  write_all(strays[6], "\x20\0\0\0\1\0\0\0\0\0\0\0\0half", 17);
  strays[7] = dial();
  while (vl_backend_strays(backend) < 6) CHECK_EQUAL(vl_backend_receive(backend, &event, 10), VL_E_TIMEOUT);
  char byte;
  for (int i = 0; i < 6; i++) {
    CHECK_EQUAL(recv(strays[i], &byte, 1, 0), 0);
    close(strays[i]);
  }
  /* Longer than an old connection is given once another has shown itself. */
  CHECK_EQUAL(vl_backend_receive(backend, &event, FINISHING + 200), VL_E_TIMEOUT);
  say(socket, 2, 0, "alive", 5);
  next_data(2, "alive");
  /* More than may wait: the oldest goes. */
  for (int i = 0; i < 10; i++) {
    int more = dial();
    CHECK_EQUAL(vl_backend_receive(backend, &event, 1), VL_E_TIMEOUT);
    CHECK(backend->newcomer_count <= NEWCOMERS);
    if (i < 4) strays[8 + i] = more;
    if (i >= 4) close(more);
  }
  CHECK_EQUAL(vl_backend_send(backend, 2, "to you", 6, -1), VL_OK);
  unsigned char data[32];
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 15);
  for (int i = 6; i < 12; i++) close(strays[i]);
  close(socket);
  stop();
}

static void stray_before_the_relay_is_dropped(void) {
  start(NULL);
  int stray = dial();
  write_all(stray, "GET / HTTP/1.1\r\n\r\n", 18);
  int socket = begin(1);
  char byte;
  CHECK_EQUAL(recv(stray, &byte, 1, 0), 0);
  close(stray);
  close(socket);
  stop();
}

static void old_connection_is_read_to_its_end(void) {
  start(NULL);
  int old = begin(1), new = dial();
  say(new, 5, 3, "", 0);
  say(new, 5, 0, "new", 3);
  say(old, 5, 0, "old", 3);
  say(old, 5, 0, "last", 4);
  write_all(old, "\x0c\0\0\0half", 8);
  shutdown(old, SHUT_WR);
  next_data(5, "old");
  next_data(5, "last");
  CHECK_EQUAL(next_of(VL_BACKEND_DISCONNECTED).number, 1);
  CHECK_EQUAL(next_of(VL_BACKEND_CONNECTED).number, 2);
  CHECK(next_of(VL_BACKEND_RECONNECTION).client_id == 5);
  next_of(VL_BACKEND_ANNOUNCED);
  next_data(5, "new");
  close(old);
  close(new);
  stop();
}

static void silent_old_connection_gives_way(void) {
  start(NULL);
  int old = begin(1), new = dial();
  CHECK_EQUAL(vl_backend_send(backend, 1, "in vain", 7, -1), VL_OK);
  say(new, 5, 3, "", 0);
  vl_backend_event event = next_of(VL_BACKEND_DISCONNECTED);
  CHECK(event.number == 1 && memmem(event.data, event.size, "replaced", 8));
  CHECK_EQUAL(next_of(VL_BACKEND_CONNECTED).number, 2);
  next_of(VL_BACKEND_RECONNECTION);
  CHECK_EQUAL(vl_backend_send(backend, 5, "hello", 5, -1), VL_OK);
  unsigned char data[32];
  CHECK_EQUAL(read_packet(new, data, sizeof data), 14);
  CHECK_EQUAL(vli_get64(data), 5);
  close(old);
  close(new);
  stop();
}

static void newcomer_that_is_reset_while_it_waits_is_dropped(void) {
  vl_backend_event event;
  start(NULL);
  int socket = begin(1), new = dial();
  say(new, 5, 3, "", 0);
  while (backend->newcomer_count == 0 || !backend->newcomers[0]->is_valid) {
    CHECK_EQUAL(vl_backend_receive(backend, &event, 1), VL_E_TIMEOUT);
  }
  reset_socket(new);
  /* While the current one has something to say. */
  for (int i = 0; backend->newcomer_count > 0; i++) {
    CHECK(i < 100);
    say(socket, 1, 0, "alive", 5);
    next_data(1, "alive");
    CHECK_EQUAL(vl_backend_receive(backend, &event, 1), VL_E_TIMEOUT);
  }
  struct pollfd poller = {.fd = vl_backend_fd(backend), .events = POLLIN};
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  close(socket);
  stop();
}

static void what_was_queued_for_a_lost_connection_is_dropped(void) {
  static unsigned char data[1000000];
  start(NULL);
  int old = begin(1);
  while (vl_backend_unsent(backend) == 0) CHECK_EQUAL(vl_backend_send(backend, 1, data, sizeof data, 0), VL_OK);
  reset_socket(old);
  next_of(VL_BACKEND_DISCONNECTED);
  CHECK_EQUAL(vl_backend_unsent(backend), 0);
  int new = begin(2);
  CHECK_EQUAL(vl_backend_send(backend, 1, "first", 5, -1), VL_OK);
  CHECK_EQUAL(read_packet(new, data, sizeof data), 14);
  CHECK(memcmp(data + 9, "first", 5) == 0);
  close(new);
  stop();
}

static void oversized_packet_ends_the_connection(void) {
  vl_backend_options options = VL_BACKEND_OPTIONS;
  options.max_packet_size = 100;
  start(&options);
  int socket = begin(1);
  static unsigned char data[101];
  say(socket, 1, 0, data, 100);
  CHECK_EQUAL(next_of(VL_BACKEND_DATA).size, 100);
  say(socket, 1, 0, data, 101);
  vl_backend_event event = next_of(VL_BACKEND_DISCONNECTED);
  CHECK(memmem(event.data, event.size, "110 bytes where 109", 19));
  CHECK_EQUAL(vl_backend_send(backend, 1, data, 101, 0), VL_E_TOO_LARGE);
  close(socket);
  stop();
}

static void what_is_sent(void) {
  start(NULL);
  int socket = begin(1);
  unsigned char data[64];
  const uint64_t ids[] = {3, 4, 3};
  CHECK_EQUAL(vl_backend_send(backend, UINT64_MAX, "", 0, -1), VL_OK);
  CHECK_EQUAL(vl_backend_kick(backend, 2, -1), VL_OK);
  CHECK_EQUAL(vl_backend_send_volatile(backend, 2, "v", 1, -1), VL_OK);
  CHECK_EQUAL(vl_backend_multicast(backend, VL_FLAG_VOLATILE, ids, 3, "all", 3, -1), VL_OK);
  CHECK_EQUAL(vl_backend_multicast(backend, VL_FLAG_DATA, ids, 0, "none", 4, -1), VL_OK);
  CHECK_EQUAL(vl_backend_multicast(backend, VL_FLAG_KICK, ids, 3, "all", 3, -1), VL_E_ARGUMENT);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 9);
  CHECK(vli_get64(data) == UINT64_MAX && data[8] == 0);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 9);
  CHECK(vli_get64(data) == 2 && data[8] == VL_FLAG_KICK);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  CHECK(data[8] == VL_FLAG_VOLATILE && data[9] == 'v');
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 9 + 5 + 24 + 3);
  CHECK(data[8] == VL_FLAG_MULTICAST && data[9] == VL_FLAG_VOLATILE && vli_get32(data + 10) == 3);
  CHECK(vli_get64(data + 14) == 3 && vli_get64(data + 22) == 4 && memcmp(data + 38, "all", 3) == 0);
  close(socket);
  stop();
}

static void *read_multicasts(void *argument) {
  size_t most = 14 + 8 * VL_MULTICAST_IDS + 10;
  unsigned char *data = malloc(most);
  long expected[] = {14 + 8 * (long)VL_MULTICAST_IDS + 3, 14 + 8 * (long)VL_MULTICAST_IDS + 3, 14 + 8 + 3};
  uint64_t next = 0;
  for (int i = 0; i < 3; i++) {
    CHECK_EQUAL(read_packet(*(int *)argument, data, most), expected[i]);
    for (uint32_t j = 0; j < vli_get32(data + 10); j++) CHECK(vli_get64(data + 14 + 8 * j) == next++);
    CHECK(memcmp(data + expected[i] - 3, "all", 3) == 0);
  }
  free(data);
  return NULL;
}

static void multicast_of_many_is_divided(void) {
  start(NULL);
  int socket = begin(1);
  size_t count = 2 * VL_MULTICAST_IDS + 1;
  uint64_t *ids = malloc(count * sizeof *ids);
  for (size_t i = 0; i < count; i++) ids[i] = i;
  pthread_t thread = fake_relay_play(read_multicasts, &socket);
  CHECK_EQUAL(vl_backend_multicast(backend, VL_FLAG_DATA, ids, count, "all", 3, -1), VL_OK);
  CHECK(pthread_join(thread, NULL) == 0);
  free(ids);
  close(socket);
  stop();
}

/* The answers to packets that came together leave together, and none stays behind. */
static void answers_are_collected(void) {
  unsigned char data[64];
  for (int coalesce = 0; coalesce < 2; coalesce++) {
    vl_backend_options options = VL_BACKEND_OPTIONS;
    options.coalesce = coalesce;
    start(&options);
    int socket = begin(1);
    unsigned char stream[100 * 14];
    for (int i = 0; i < 100; i++) {
      vl_put_tagged_header(stream + 14 * i, 7, 0, 1);
      stream[14 * i + 13] = (unsigned char)i;
    }
    write_all(socket, stream, sizeof stream);
    while (!backend->current || vli_inbox_size(&backend->current->inbox) < sizeof stream) {
      CHECK_EQUAL(vl_backend_process(backend), VL_OK);
    }
    for (int i = 0; i < 100; i++) {
      vl_backend_event event = next_of(VL_BACKEND_DATA);
      CHECK_EQUAL(vl_backend_send(backend, 7, event.data, 1, 0), VL_OK);
      CHECK_EQUAL(vl_backend_unsent(backend), coalesce && i < 99 ? 14 * (i + 1) : 0);
    }
    for (int i = 0; i < 100; i++) {
      CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
      CHECK_EQUAL(data[9], i);
    }
    close(socket);
    stop();
  }
}

static void *send_three(void *argument) {
  CHECK_EQUAL(vl_backend_send(backend, 7, "3", 1, -1), VL_OK);
  return argument;
}

static void *receive_until_closed(void *argument) {
  vl_backend_event event;
  int failure;
  while ((failure = vl_backend_receive(backend, &event, -1)) == VL_OK) {}
  CHECK_EQUAL(failure, VL_E_CLOSED);
  return argument;
}

static void *send_many(void *argument) {
  unsigned char data[300];
  for (uint32_t i = 0; i < 2000; i++) {
    memset(data, 5, sizeof data);
    vli_put32(data, i);
    CHECK_EQUAL(vl_backend_send(backend, (uint64_t)(uintptr_t)argument, data, 4 + i % 290, -1), VL_OK);
  }
  return NULL;
}

static void what_is_collected_is_written_by_flush_and_by_other_threads(void) {
  unsigned char data[64];
  start(NULL);
  int socket = begin(1);
  say(socket, 7, 0, "one", 3);
  say(socket, 7, 0, "two", 3);
  while (vli_inbox_size(&backend->current->inbox) < 32) CHECK_EQUAL(vl_backend_process(backend), VL_OK);
  next_data(7, "one");
  CHECK_EQUAL(vl_backend_send(backend, 7, "1", 1, -1), VL_OK);
  CHECK_EQUAL(vl_backend_unsent(backend), 14);
  CHECK_EQUAL(vl_backend_flush(backend, -1), VL_OK);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  CHECK_EQUAL(vl_backend_send(backend, 7, "2", 1, -1), VL_OK);
  CHECK(pthread_join(fake_relay_play(send_three, NULL), NULL) == 0);
  CHECK_EQUAL(vl_backend_unsent(backend), 0);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  CHECK_EQUAL(data[9], '3');
  next_data(7, "two");
  close(socket);
  stop();
}

static void many_send_while_one_receives_and_one_closes(void) {
  enum { SENDERS = 4, EACH = 2000 };
  vl_backend_options options = VL_BACKEND_OPTIONS;
  options.send_limit = 10000;
  start(&options);
  int socket = begin(1);
  pthread_t receiver = fake_relay_play(receive_until_closed, NULL), senders[SENDERS];
  for (uint64_t i = 0; i < SENDERS; i++) senders[i] = fake_relay_play(send_many, (void *)(uintptr_t)i);
  unsigned next[SENDERS] = {0};
  unsigned char data[400];
  for (int i = 0; i < SENDERS * EACH; i++) {
    CHECK(read_packet(socket, data, sizeof data) >= 13);
    uint64_t id = vli_get64(data);
    CHECK(id < SENDERS);
    CHECK_EQUAL(vli_get32(data + 9), next[id]);
    next[id]++;
    if (i % 10 == 0) say(socket, 7, 0, "up", 2);
  }
  for (int i = 0; i < SENDERS; i++) CHECK(pthread_join(senders[i], NULL) == 0);
  vl_backend_close(backend);
  CHECK(pthread_join(receiver, NULL) == 0);
  CHECK_EQUAL(vl_backend_send(backend, 1, "x", 1, -1), VL_E_CLOSED);
  close(socket);
  stop();
}

static void one_descriptor_tells_of_everything(void) {
  vl_backend_event event;
  start(NULL);
  struct pollfd poller = {.fd = vl_backend_fd(backend), .events = POLLIN};
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  int old = dial();
  /* The connection, and that it has been silent for long enough. */
  while (vl_backend_receive(backend, &event, 0) == VL_E_TIMEOUT) CHECK_EQUAL(poll(&poller, 1, 20000), 1);
  CHECK_EQUAL(event.kind, VL_BACKEND_CONNECTED);
  CHECK_EQUAL(vl_backend_receive(backend, &event, 0), VL_E_TIMEOUT);
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  say(old, 1, 0, "x", 1);
  CHECK_EQUAL(poll(&poller, 1, 20000), 1);
  CHECK_EQUAL(vl_backend_receive(backend, &event, 0), VL_OK);
  while (vl_backend_receive(backend, &event, 0) == VL_OK) {}
  /* A newcomer that replaces it, after its time. */
  int new = dial();
  say(new, 1, 3, "", 0);
  do {
    CHECK_EQUAL(poll(&poller, 1, 20000), 1);
  } while (vl_backend_receive(backend, &event, 0) == VL_E_TIMEOUT);
  CHECK_EQUAL(event.kind, VL_BACKEND_DISCONNECTED);
  while (vl_backend_receive(backend, &event, 0) == VL_OK) {}
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  close(old);
  close(new);
  stop();
}

static void what_has_come_is_bounded(void) {
  vl_backend_options options = VL_BACKEND_OPTIONS;
  options.receive_limit = 100000;
  start(&options);
  int socket = begin(1);
  unsigned char packet[1013];
  vl_put_tagged_header(packet, 1, 0, 1000);
  fill(packet + 13, 1000, 4);
  size_t at = 0;
  int sent = 0;
  for (;;) {
    ssize_t count = send(socket, packet + at, sizeof packet - at, MSG_DONTWAIT);
    CHECK_EQUAL(vl_backend_process(backend), VL_OK);
    CHECK(vli_inbox_size(&backend->current->inbox) <= 100000 + READ_SIZE);
    if (count < 0) {
      if (vli_inbox_size(&backend->current->inbox) < 100000) continue;
      break;
    }
    at += (size_t)count;
    if (at == sizeof packet) at = 0, sent++;
  }
  for (int i = 0; i < sent; i++) CHECK(is_filled(next_of(VL_BACKEND_DATA).data, 1000, 4));
  close(socket);
  stop();
}

static void unix_sockets_and_addresses(void) {
  char folder[] = "/tmp/libvoltlane-backend-XXXXXX", address[64];
  CHECK(mkdtemp(folder));
  snprintf(address, sizeof address, "unix:%s/socket", folder);
  vl_backend *other;
  CHECK_EQUAL(vl_backend_listen(&backend, address, NULL), VL_OK);
  CHECK_EQUAL(vl_backend_port(backend), 0);
  CHECK_EQUAL(vl_backend_listen(&other, address, NULL), VL_E_UNREACHABLE);
  CHECK(other == NULL && strstr(vl_error_text(), "in use"));
  /* A file that was left over is replaced. */
  backend->path[0] = 0;
  stop();
  CHECK(access(address + 5, F_OK) == 0);
  CHECK_EQUAL(vl_backend_listen(&backend, address, NULL), VL_OK);
  stop();
  CHECK(access(address + 5, F_OK) != 0);
  CHECK(rmdir(folder) == 0);
  CHECK_EQUAL(vl_backend_listen(&backend, "localhost:0", NULL), VL_OK);
  char taken[32];
  snprintf(taken, sizeof taken, "127.0.0.1:%d", vl_backend_port(backend));
  CHECK_EQUAL(vl_backend_listen(&other, taken, NULL), VL_E_UNREACHABLE);
  stop();
  CHECK_EQUAL(vl_backend_listen(&backend, "127.0.0.1", NULL), VL_E_ARGUMENT);
  CHECK_EQUAL(vl_backend_listen(&backend, "no.such.name.invalid:1", NULL), VL_E_UNREACHABLE);
  vl_backend_free(NULL);
}

static void a_name_is_looked_up_for_no_longer_than_told(void) {
  vl_backend_options options = VL_BACKEND_OPTIONS;
  options.lookup_timeout = 20;
  CHECK(pipe(unanswered) == 0);
  CHECK_EQUAL(vl_backend_listen(&backend, "unanswered.invalid:1", &options), VL_E_TIMEOUT);
  CHECK(backend == NULL && strstr(vl_error_text(), "unanswered.invalid:1 was not found within 20 ms"));
  /* The thread that still looks it up gives it back. */
  close(unanswered[1]);
}

static void whatever_was_read_last(int socket, const char *text) {
  say(socket, 1, 0, text, strlen(text));
  next_data(1, text);
}

/* A backend that was stopped: what it reads then may have come at any time since. */
static void events_are_as_old_as_a_stop(void) {
  vl_backend_options options = VL_BACKEND_OPTIONS;
  options.stop_resolution = 60000;
  start(&options);
  int socket = begin(1);
  CHECK(vl_backend_event_age(backend) >= 0 && vl_backend_event_age(backend) < 60000);
  /* It has not looked for ten minutes; two minutes would be nothing. */
  const int64_t ten_minutes = 600000;
  say(socket, 1, 0, "old", 3);
  say(socket, 1, 0, "too", 3);
  backend->current->arrivals.looked_at -= ten_minutes;
  next_data(1, "old");
  CHECK(vl_backend_event_age(backend) >= ten_minutes);
  next_data(1, "too");
  CHECK(vl_backend_event_age(backend) >= ten_minutes);
  whatever_was_read_last(socket, "new");
  CHECK(vl_backend_event_age(backend) < ten_minutes);
  /* Of a packet, the beginning came before the stop, and what follows it after. */
  unsigned char header[VL_TAGGED_HEADER_SIZE];
  vl_put_tagged_header(header, 1, 0, 4);
  vl_backend_event event;
  write_all(socket, header, sizeof header);
  while (vli_inbox_size(&backend->current->inbox) == 0) vl_backend_receive(backend, &event, 1);
  backend->current->arrivals.of_others -= ten_minutes;
  write_all(socket, "part", 4);
  say(socket, 1, 0, "whole", 5);
  next_data(1, "part");
  CHECK(vl_backend_event_age(backend) >= ten_minutes);
  next_data(1, "whole");
  CHECK(vl_backend_event_age(backend) < ten_minutes);
  close(socket);
  stop();
  /* One that is not asked to does not notice. */
  start(NULL);
  socket = begin(1);
  backend->current->arrivals.looked_at -= ten_minutes;
  whatever_was_read_last(socket, "unnoticed");
  CHECK(vl_backend_event_age(backend) < ten_minutes);
  close(socket);
  stop();
  options.stop_resolution = -1;
  CHECK_EQUAL(vl_backend_listen(&backend, "127.0.0.1:0", &options), VL_E_ARGUMENT);
}

int main(void) {
  RUN(nobody_is_lost_and_nobody_is_there);
  RUN(received_packets_stay_until_the_next_receive);
  RUN(strays_take_nothing_over);
  RUN(stray_before_the_relay_is_dropped);
  RUN(old_connection_is_read_to_its_end);
  RUN(silent_old_connection_gives_way);
  RUN(newcomer_that_is_reset_while_it_waits_is_dropped);
  RUN(what_was_queued_for_a_lost_connection_is_dropped);
  RUN(oversized_packet_ends_the_connection);
  RUN(what_is_sent);
  RUN(multicast_of_many_is_divided);
  RUN(answers_are_collected);
  RUN(what_is_collected_is_written_by_flush_and_by_other_threads);
  RUN(many_send_while_one_receives_and_one_closes);
  RUN(one_descriptor_tells_of_everything);
  RUN(what_has_come_is_bounded);
  RUN(unix_sockets_and_addresses);
  RUN(a_name_is_looked_up_for_no_longer_than_told);
  RUN(events_are_as_old_as_a_stop);
  TESTS_DONE();
}
