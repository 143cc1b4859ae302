/* The client over sockets, with a relay in the test's hands. It looks inside where the outside cannot show something:
 * so it has the client's source in it, in the place of the library's. */
#include "../src/client.c"

#include <poll.h>

#include "fake_relay.h"

static struct fake_relay relay;

static vl_client_options quick(int reconnect) {
  vl_client_options options = VL_CLIENT_OPTIONS;
  options.reconnect = reconnect;
  options.first_delay = 1;
  options.last_delay = 20;
  /* The machine may be busy. */
  options.connect_timeout = 60000;
  return options;
}

static void *take_new_client(void *argument) {
  *(int *)argument = fake_relay_take_new(&relay);
  return NULL;
}

static void *take_old_client(void *argument) {
  *(int *)argument = fake_relay_take_old(&relay);
  return NULL;
}

static void *finish_client(void *argument) {
  CHECK_EQUAL(vl_client_finish(argument, -1), VL_OK);
  return NULL;
}

/* A client whose handshake the test plays, in this thread. */
static vl_client *connected(const vl_client_options *options, int *socket) {
  vl_client *client;
  vl_packet packet;
  vl_client_options patient = quick(1);
  CHECK_EQUAL(vl_client_start(&client, relay.address, NULL, options ? options : &patient), VL_OK);
  static int taken;
  pthread_t thread = fake_relay_play(take_new_client, &taken);
  while (vl_client_state(client) != VL_CLIENT_CONNECTED) {
    int failure = vl_client_receive(client, &packet, 10);
    CHECK(failure == VL_E_TIMEOUT);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  *socket = taken;
  return client;
}

static void id_and_session_are_known(void) {
  int socket;
  vl_session session;
  vl_client *client = connected(NULL, &socket);
  CHECK(vl_client_id(client) == relay.next_id);
  CHECK_EQUAL(vl_client_session(client, &session), VL_OK);
  CHECK(session.client_id == relay.next_id && memcmp(session.relay_key, relay.key, 33) == 0);
  CHECK_EQUAL(vl_client_connections(client), 1);
  CHECK_EQUAL(vl_client_failure(client), VL_OK);
  vl_client_free(client);
  close(socket);
}

/* The earlier client freed these before its caller saw them. */
static void *send_large_packets(void *argument) {
  const size_t sizes[] = {65536, 8388599, 1, 65536, 8388599, 65535, 65537, 0, 70000};
  unsigned char *data = malloc(8388599);
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    fill(data, sizes[i], i);
    write_packet(*(int *)argument, data, sizes[i]);
  }
  free(data);
  return NULL;
}

static void received_packets_stay_until_the_next_receive(void) {
  const size_t sizes[] = {65536, 8388599, 1, 65536, 8388599, 65535, 65537, 0, 70000};
  int socket;
  vl_packet packet;
  vl_client *client = connected(NULL, &socket);
  pthread_t thread = fake_relay_play(send_large_packets, &socket);
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
    CHECK_EQUAL(packet.size, sizes[i]);
    CHECK(packet.data && is_filled(packet.data, packet.size, i));
    /* What comes and goes meanwhile does it no harm, nor do other calls. */
    for (int j = 0; j < 5; j++) CHECK_EQUAL(vl_client_process(client), VL_OK);
    CHECK_EQUAL(vl_client_send(client, "x", 1, 1000), VL_OK);
    CHECK(is_filled(packet.data, packet.size, i));
  }
  CHECK(pthread_join(thread, NULL) == 0);
  vl_client_free(client);
  close(socket);
}

static void *read_large_packets(void *argument) {
  unsigned char *data = malloc(8388599);
  const size_t sizes[] = {65536, 0, 8388599, 65535};
  for (unsigned i = 0; i < 4; i++) {
    CHECK_EQUAL(read_packet(*(int *)argument, data, 8388599), sizes[i]);
    CHECK(is_filled(data, sizes[i], i));
  }
  free(data);
  return NULL;
}

static void sent_packets_are_copied(void) {
  const size_t sizes[] = {65536, 0, 8388599, 65535};
  int socket;
  vl_client_options options = quick(1);
  options.send_limit = 64 << 20;
  vl_client *client = connected(&options, &socket);
  unsigned char *data = malloc(8388599);
  for (unsigned i = 0; i < 4; i++) {
    fill(data, sizes[i], i);
    /* Nobody reads: it is queued, and the caller's bytes are its own again. */
    CHECK_EQUAL(vl_client_send(client, data, sizes[i], 0), VL_OK);
    memset(data, 0xee, 8388599);
  }
  CHECK_EQUAL(vl_client_send(client, data, 8388600, 0), VL_E_TOO_LARGE);
  CHECK(vl_client_unsent(client) > 0);
  CHECK_EQUAL(vl_client_flush(client, 0), VL_E_TIMEOUT);
  pthread_t thread = fake_relay_play(read_large_packets, &socket);
  CHECK_EQUAL(vl_client_flush(client, -1), VL_OK);
  CHECK_EQUAL(vl_client_unsent(client), 0);
  CHECK(pthread_join(thread, NULL) == 0);
  free(data);
  vl_client_free(client);
  close(socket);
}

static void sending_waits_for_room_and_no_longer_than_told(void) {
  int socket;
  static unsigned char data[100000];
  vl_client_options options = quick(1);
  options.send_limit = 1 << 20;
  vl_client *client = connected(&options, &socket);
  int failure;
  long count = 0;
  while ((failure = vl_client_send(client, data, sizeof data, 0)) == VL_OK) count++;
  CHECK_EQUAL(failure, VL_E_TIMEOUT);
  CHECK(vl_client_unsent(client) >= 1 << 20 && vl_client_unsent(client) < (1 << 20) + sizeof data + 4);
  /* The kernel may find room for more meanwhile, but not for ever. */
  while ((failure = vl_client_send(client, data, sizeof data, 20)) == VL_OK) count++;
  CHECK_EQUAL(failure, VL_E_TIMEOUT);
  /* Nothing of those went out: exactly as many come as were taken. */
  unsigned char *received = malloc(sizeof data);
  pthread_t thread = fake_relay_play(finish_client, client);
  while (read_packet(socket, received, sizeof data) == sizeof data) count--;
  CHECK_EQUAL(count, 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_EQUAL(vl_client_send(client, "x", 1, 0), VL_E_CLOSED);
  free(received);
  vl_client_free(client);
  close(socket);
}

static void everything_has_a_time(void) {
  vl_client *client;
  vl_packet packet;
  vl_client_options options = quick(0);
  int socket;
  options.connect_timeout = 30;
  /* A relay that takes the connection and says nothing. */
  CHECK_EQUAL(vl_client_connect(&client, relay.address, &options), VL_E_TIMEOUT);
  CHECK(client == NULL && strstr(vl_error_text(), "within 30 ms"));
  close(fake_relay_accept(&relay));
  options.connect_timeout = 60000;
  client = connected(&options, &socket);
  CHECK_EQUAL(vl_client_receive(client, &packet, 0), VL_E_TIMEOUT);
  CHECK_EQUAL(vl_client_receive(client, &packet, 20), VL_E_TIMEOUT);
  CHECK(packet.data == NULL);
  /* Coming back to a relay that says nothing. */
  CHECK_EQUAL(vl_client_reconnect(client, 30), VL_E_TIMEOUT);
  CHECK_EQUAL(vl_client_state(client), VL_CLIENT_DISCONNECTED);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_TIMEOUT);
  vl_client_free(client);
  close(socket);
  close(fake_relay_accept(&relay));
}

static int socket_option(vl_client *client, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(getsockopt(client->socket, level, name, &value, &size) == 0);
  return value;
}

static void dead_network_is_noticed(void) {
  int socket;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &socket);
  CHECK_EQUAL(socket_option(client, SOL_SOCKET, SO_KEEPALIVE), 1);
  CHECK_EQUAL(socket_option(client, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
  int idle = socket_option(client, IPPROTO_TCP, TCP_KEEPIDLE);
  int interval = socket_option(client, IPPROTO_TCP, TCP_KEEPINTVL);
  int probes = socket_option(client, IPPROTO_TCP, TCP_KEEPCNT);
  CHECK_EQUAL(idle + interval * probes, 30);
  CHECK_EQUAL(socket_option(client, IPPROTO_TCP, TCP_NODELAY), 1);
  vl_client_free(client);
  close(socket);
  options.dead_after = -1;
  client = connected(&options, &socket);
  CHECK_EQUAL(socket_option(client, SOL_SOCKET, SO_KEEPALIVE), 0);
  CHECK_EQUAL(socket_option(client, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  vl_client_free(client);
  close(socket);
}

/* What fails in one thread is not told to another, and nothing has to be freed. */
static void *fail_otherwise(void *argument) {
  vl_client *client;
  CHECK_EQUAL(vl_error_text()[0], 0);
  CHECK_EQUAL(vl_client_connect(&client, "nonsense", NULL), VL_E_ARGUMENT);
  CHECK(strstr(vl_error_text(), "'nonsense' is no address"));
  return argument;
}

static void errors_belong_to_their_thread(void) {
  vl_client *client;
  struct fake_relay nobody;
  fake_relay_start(&nobody);
  fake_relay_stop(&nobody);
  CHECK_EQUAL(vl_client_connect(&client, nobody.address, NULL), VL_E_UNREACHABLE);
  char before[256];
  snprintf(before, sizeof before, "%s", vl_error_text());
  CHECK(strstr(before, nobody.address) && strstr(before, "Connection refused"));
  CHECK(pthread_join(fake_relay_play(fail_otherwise, NULL), NULL) == 0);
  CHECK(strcmp(before, vl_error_text()) == 0);
  for (int code = 0; code >= -21; code--) CHECK(strlen(vl_strerror(code)) > 3);
  CHECK(strcmp(vl_strerror(-21), "an unknown error") == 0 && strcmp(vl_strerror(-20), vl_strerror(-21)) != 0);
}

static void names_are_resolved_without_blocking(void) {
  vl_client *client;
  char address[64];
  vl_packet packet;
  vl_client_options options = quick(0);
  options.connect_timeout = 1000;
  /* Where there is no answer from a name server, the time for connecting holds. */
  int failed = vl_client_connect(&client, "no.such.name.invalid:1", &options);
  CHECK(failed == VL_E_UNREACHABLE || failed == VL_E_TIMEOUT);
  CHECK(strstr(vl_error_text(), "no.such.name.invalid"));
  options.connect_timeout = 60000;
  /* Given up while it is looked up. */
  CHECK_EQUAL(vl_client_start(&client, "no.such.name.invalid:1", NULL, &options), VL_OK);
  vl_client_free(client);
  snprintf(address, sizeof address, "localhost%s", strchr(relay.address, ':'));
  static int socket;
  CHECK_EQUAL(vl_client_start(&client, address, NULL, &options), VL_OK);
  pthread_t thread = fake_relay_play(take_new_client, &socket);
  while (vl_client_state(client) == VL_CLIENT_CONNECTING) {
    int failure = vl_client_receive(client, &packet, 10);
    CHECK_EQUAL(failure, VL_E_TIMEOUT);
  }
  CHECK_EQUAL(vl_client_state(client), VL_CLIENT_CONNECTED);
  CHECK(pthread_join(thread, NULL) == 0);
  vl_client_free(client);
  close(socket);
}

static void addresses_that_are_none(void) {
  const char *wrong[] = {"", "host", "host:", ":1", "host:x", "host:65536", "host:123456", "::1:1", "[::1]", "[::1]1",
                         "unix:", "host:-1", "[]:1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    vl_client *client;
    CHECK_EQUAL(vl_client_connect(&client, wrong[i], NULL), VL_E_ARGUMENT);
    CHECK(client == NULL);
  }
  vl_client *client;
  char long_path[300] = "unix:";
  memset(long_path + 5, 'x', 200);
  CHECK_EQUAL(vl_client_connect(&client, long_path, NULL), VL_E_ARGUMENT);
  CHECK_EQUAL(vl_client_connect(&client, NULL, NULL), VL_E_ARGUMENT);
  struct vli_address address;
  CHECK_EQUAL(vli_address_parse(&address, "[fe80::1%eth0]:42000"), VL_OK);
  CHECK(strcmp(address.host, "fe80::1%eth0") == 0 && strcmp(address.port, "42000") == 0);
}

/* ---- Threads ---- */

#define SENDERS 4
#define EACH 2000

static void *send_many(void *argument) {
  vl_client *client = argument;
  static _Atomic unsigned next_sender;
  unsigned sender = next_sender++ % SENDERS;
  for (unsigned i = 0; i < EACH; i++) {
    unsigned char data[300];
    memset(data, (int)sender, sizeof data);
    vli_put32(data, i);
    CHECK_EQUAL(vl_client_send(client, data, 8 + i % 280, -1), VL_OK);
  }
  return NULL;
}

static void *receive_until_closed(void *argument) {
  vl_packet packet;
  long count = 0;
  int failure;
  while ((failure = vl_client_receive(argument, &packet, -1)) == VL_OK) {
    CHECK(is_filled(packet.data, packet.size, (unsigned)count));
    count++;
  }
  CHECK_EQUAL(failure, VL_E_CLOSED);
  return (void *)count;
}

static void many_send_while_one_receives_and_one_closes(void) {
  int socket;
  vl_client_options options = quick(1);
  options.send_limit = 10000;
  vl_client *client = connected(&options, &socket);
  pthread_t senders[SENDERS], receiver = fake_relay_play(receive_until_closed, client);
  for (int i = 0; i < SENDERS; i++) senders[i] = fake_relay_play(send_many, client);
  unsigned next[SENDERS] = {0};
  unsigned char data[300];
  long echoed = 0;
  for (int i = 0; i < SENDERS * EACH; i++) {
    long size = read_packet(socket, data, sizeof data);
    CHECK(size >= 8 && data[4] < SENDERS);
    unsigned sender = data[4];
    /* Of each sender in order, and whole. */
    CHECK_EQUAL(vli_get32(data), next[sender]);
    CHECK_EQUAL(size, 8 + next[sender] % 280);
    for (long j = 4; j < size; j++) CHECK_EQUAL(data[j], sender);
    next[sender]++;
    if (i % 3 == 0) {
      fill(data, 100, (unsigned)echoed++);
      write_packet(socket, data, 100);
    }
  }
  for (int i = 0; i < SENDERS; i++) CHECK(pthread_join(senders[i], NULL) == 0);
  /* The receiver gets all that was sent to it, and is then woken. */
  unsigned char last = 0;
  write_packet(socket, &last, 0);
  echoed++;
  while (vl_client_unsent(client) > 0) CHECK_EQUAL(vl_client_flush(client, -1), VL_OK);
  for (;;) {
    /* All has been read from the socket, as far as its kernel says. */
    int waiting;
    CHECK(vl_client_state(client) == VL_CLIENT_CONNECTED);
    pthread_mutex_lock(&client->waiter.lock);
    socklen_t size = sizeof(struct tcp_info);
    struct tcp_info info;
    CHECK(getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    char byte;
    waiting = recv(client->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 || info.tcpi_unacked > 0 ||
              vli_inbox_size(&client->inbox) > 0;
    pthread_mutex_unlock(&client->waiter.lock);
    if (!waiting) break;
    sched_yield();
  }
  vl_client_close(client);
  void *count;
  CHECK(pthread_join(receiver, &count) == 0);
  CHECK_EQUAL((long)count, echoed);
  CHECK_EQUAL(vl_client_send(client, "x", 1, -1), VL_E_CLOSED);
  CHECK_EQUAL(vl_client_flush(client, -1), VL_E_CLOSED);
  CHECK_EQUAL(vl_client_reconnect(client, -1), VL_E_CLOSED);
  vl_client_free(client);
  close(socket);
}

/* ---- Coming back ---- */

static void comes_back_by_itself(void) {
  int socket, first, second;
  vl_packet packet;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &first);
  /* Two whole packets and a part are there when the connection breaks. */
  write_packet(first, "one", 3);
  write_packet(first, "two", 3);
  write_all(first, "\5\0\0\0th", 6);
  shutdown(first, SHUT_WR);
  pthread_t thread = fake_relay_play(take_old_client, &second);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
  CHECK(packet.size == 3 && memcmp(packet.data, "one", 3) == 0);
  /* It is away meanwhile; the packet that is lent stays, and what is sent waits. */
  while (vl_client_connections(client) < 2) {
    CHECK(vl_client_process(client) == VL_OK);
    CHECK(memcmp(packet.data, "one", 3) == 0);
    if (vl_client_state(client) == VL_CLIENT_RECONNECTING && vl_client_unsent(client) == 0) {
      CHECK_EQUAL(vl_client_send(client, "while away", 10, 0), VL_OK);
    }
  }
  CHECK(pthread_join(thread, NULL) == 0);
  socket = second;
  write_packet(socket, "three", 5);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
  CHECK(memcmp(packet.data, "two", 3) == 0);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
  CHECK(packet.size == 5 && memcmp(packet.data, "three", 5) == 0);
  CHECK_EQUAL(vl_client_flush(client, -1), VL_OK);
  unsigned char data[16];
  CHECK_EQUAL(read_packet(socket, data, sizeof data), 10);
  CHECK(memcmp(data, "while away", 10) == 0);
  CHECK_EQUAL(vl_client_state(client), VL_CLIENT_CONNECTED);
  vl_client_free(client);
  close(first);
  close(second);
}

/* Two clients with one session: each is closed in order, over and over, and leaves it to the other for ever longer. */
static void a_shared_session_is_left_to_the_other(void) {
  int sockets[TAKEOVERS + 3];
  vl_packet packet;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &sockets[0]);
  for (int i = 0; i <= TAKEOVERS; i++) {
    /* As a relay does to a client whose session is taken. */
    shutdown(sockets[i], SHUT_WR);
    pthread_t thread = fake_relay_play(take_old_client, &sockets[i + 1]);
    unsigned long before = vl_client_connections(client);
    bool is_shared = false;
    int64_t wait = 0;
    while (vl_client_connections(client) == before) {
      CHECK_EQUAL(vl_client_receive(client, &packet, 1), VL_E_TIMEOUT);
      if (vl_client_failure(client) == VL_E_SESSION_SHARED && !is_shared) {
        is_shared = true;
        wait = client->retry_at - client->series_begin;
        CHECK_EQUAL(vl_client_state(client), VL_CLIENT_RECONNECTING);
      }
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQUAL(is_shared, i >= TAKEOVERS - 1);
    /* Half of it is no chance. */
    if (is_shared) CHECK(wait >= (options.last_delay << (i - TAKEOVERS + 1)) / 2);
    CHECK_EQUAL(vl_client_failure(client), VL_OK);
  }
  CHECK_EQUAL(client->takeovers, TAKEOVERS + 1);
  /* What has lived for a while was not taken by a client that comes back all the time. */
  client->connected_at -= SETTLED;
  shutdown(sockets[TAKEOVERS + 1], SHUT_WR);
  pthread_t thread = fake_relay_play(take_old_client, &sockets[TAKEOVERS + 2]);
  while (vl_client_connections(client) < TAKEOVERS + 3) {
    CHECK_EQUAL(vl_client_receive(client, &packet, 1), VL_E_TIMEOUT);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_EQUAL(client->takeovers, 0);
  vl_client_free(client);
  for (int i = 0; i < TAKEOVERS + 3; i++) close(sockets[i]);
}

static void packet_sent_in_part_goes_whole_on_the_next_connection(void) {
  int first, second;
  vl_packet packet;
  static unsigned char data[3000000], received[3000000];
  vl_client_options options = quick(1);
  options.send_limit = 4 << 20;
  vl_client *client = connected(&options, &first);
  fill(data, sizeof data, 3);
  /* More than the sockets hold, so that a part has gone and a part waits. */
  while (vl_client_unsent(client) == 0) CHECK_EQUAL(vl_client_send(client, data, sizeof data, 0), VL_OK);
  CHECK(vl_client_unsent(client) < sizeof data);
  CHECK_EQUAL(vl_client_send(client, "next", 4, 0), VL_OK);
  reset_socket(first);
  pthread_t thread = fake_relay_play(take_old_client, &second);
  while (vl_client_connections(client) < 2) CHECK_EQUAL(vl_client_receive(client, &packet, 10), VL_E_TIMEOUT);
  CHECK(pthread_join(thread, NULL) == 0);
  thread = fake_relay_play(finish_client, client);
  CHECK_EQUAL(read_packet(second, received, sizeof received), sizeof data);
  CHECK(is_filled(received, sizeof data, 3));
  CHECK_EQUAL(read_packet(second, received, sizeof received), 4);
  CHECK_EQUAL(read_packet(second, received, sizeof received), -1);
  CHECK(pthread_join(thread, NULL) == 0);
  vl_client_free(client);
  close(second);
}

static void *say_it_is_over(void *argument) {
  long times = *(int *)argument;
  for (long i = 0; i < times; i++) {
    int socket = fake_relay_accept(&relay);
    fake_relay_greet_old(&relay, socket);
    close(socket);
  }
  return NULL;
}

static void session_over_is_believed_the_second_time(void) {
  int first, second, once = 1, twice = 2;
  vl_packet packet;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &first);
  close(first);
  /* Heard once, then taken back. */
  pthread_t thread = fake_relay_play(say_it_is_over, &once);
  while (vl_client_failure(client) != VL_E_SESSION_OVER) {
    CHECK_EQUAL(vl_client_receive(client, &packet, 1), VL_E_TIMEOUT);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  thread = fake_relay_play(take_old_client, &second);
  while (vl_client_connections(client) < 2) CHECK_EQUAL(vl_client_receive(client, &packet, 1), VL_E_TIMEOUT);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_EQUAL(vl_client_failure(client), VL_OK);
  /* Heard twice. */
  close(second);
  thread = fake_relay_play(say_it_is_over, &twice);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_SESSION_OVER);
  CHECK_EQUAL(vl_client_send(client, "x", 1, -1), VL_E_SESSION_OVER);
  CHECK(pthread_join(thread, NULL) == 0);
  /* The same for a session that was saved, even with one attempt only. */
  vl_session session;
  CHECK_EQUAL(vl_client_session(client, &session), VL_OK);
  vl_client_free(client);
  thread = fake_relay_play(say_it_is_over, &twice);
  options = quick(0);
  CHECK_EQUAL(vl_client_resume(&client, relay.address, &session, &options), VL_E_SESSION_OVER);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void gives_up(void) {
  int socket;
  vl_packet packet;
  struct fake_relay leaving = relay;
  struct fake_relay before = relay;
  fake_relay_start(&leaving);
  relay = leaving;
  vl_client_options options = quick(1);
  options.give_up_after = 50;
  vl_client *client = connected(&options, &socket);
  close(socket);
  fake_relay_stop(&leaving);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_GAVE_UP);
  CHECK(strstr(vl_error_text(), "50 ms") && strstr(vl_error_text(), "refused"));
  vl_client_free(client);
  relay = before;
}

static void without_reconnecting_it_says_how_it_ended(void) {
  int socket, again;
  vl_packet packet;
  vl_client_options options = quick(0);
  vl_client *client = connected(&options, &socket);
  write_packet(socket, "last", 4);
  close(socket);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_CLOSED_BY_RELAY);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_CLOSED_BY_RELAY);
  /* By hand, as often as one likes. */
  for (int i = 0; i < 2; i++) {
    pthread_t thread = fake_relay_play(take_old_client, &again);
    CHECK_EQUAL(vl_client_reconnect(client, -1), VL_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    write_packet(again, "back", 4);
    CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
    CHECK(memcmp(packet.data, "back", 4) == 0);
    if (i == 0) close(again);
  }
  write_all(again, "\5\0\0\0ha", 6);
  close(again);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_CONNECTION_LOST);
  CHECK_EQUAL(vl_client_send(client, "x", 1, -1), VL_E_CONNECTION_LOST);
  vl_client_free(client);
  client = connected(&options, &socket);
  reset_socket(socket);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_CONNECTION_LOST);
  CHECK(strstr(vl_error_text(), "reset"));
  vl_client_free(client);
}

static void relay_that_sends_too_much_is_left(void) {
  int socket;
  vl_packet packet;
  vl_client_options options = quick(1);
  options.max_packet_size = 100;
  vl_client *client = connected(&options, &socket);
  write_packet(socket, "fine", 4);
  write_all(socket, "\x65\0\0\0", 4);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
  CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_E_PROTOCOL);
  CHECK_EQUAL(vl_client_state(client), VL_CLIENT_DISCONNECTED);
  vl_client_free(client);
  close(socket);
}

/* Moves a client that blocks in another thread. */
static void *receive_one(void *argument) {
  vl_packet packet;
  CHECK_EQUAL(vl_client_receive(argument, &packet, -1), VL_OK);
  CHECK(packet.size == 5 && memcmp(packet.data, "moved", 5) == 0);
  return NULL;
}

static void reconnects_under_a_thread_that_receives(void) {
  int first, second;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &first);
  pthread_t receiver = fake_relay_play(receive_one, client);
  /* Once it polls. */
  for (bool polls = false; !polls;) {
    pthread_mutex_lock(&client->waiter.lock);
    polls = client->waiter.is_polling;
    pthread_mutex_unlock(&client->waiter.lock);
    sched_yield();
  }
  pthread_t thread = fake_relay_play(take_old_client, &second);
  CHECK_EQUAL(vl_client_reconnect(client, -1), VL_OK);
  CHECK(pthread_join(thread, NULL) == 0);
  write_packet(second, "moved", 5);
  CHECK(pthread_join(receiver, NULL) == 0);
  char byte;
  CHECK_EQUAL(recv(first, &byte, 1, 0), 0);
  vl_client_free(client);
  close(first);
  close(second);
}

/* ---- Other event loops ---- */

static void one_descriptor_tells_of_everything(void) {
  int first, second, count = 0;
  vl_packet packet;
  vl_client_options options = quick(1);
  vl_client *client = connected(&options, &first);
  struct pollfd poller = {.fd = vl_client_fd(client), .events = POLLIN};
  while (vl_client_receive(client, &packet, 0) == VL_OK) {}
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  write_packet(first, "a", 1);
  close(first);
  pthread_t thread = fake_relay_play(take_old_client, &second);
  /* The packet, the loss, the pause before the next attempt, and the handshake: it never has to be asked unasked. */
  while (vl_client_connections(client) < 2) {
    CHECK_EQUAL(poll(&poller, 1, 20000), 1);
    while (vl_client_receive(client, &packet, 0) == VL_OK) count++;
  }
  CHECK_EQUAL(count, 1);
  CHECK(pthread_join(thread, NULL) == 0);
  while (vl_client_receive(client, &packet, 0) == VL_OK) {}
  CHECK_EQUAL(poll(&poller, 1, 0), 0);
  /* And when there is room to write. */
  static unsigned char data[1000000], received[1000000];
  options.send_limit = 1;
  while (vl_client_unsent(client) == 0) CHECK_EQUAL(vl_client_send(client, data, sizeof data, 0), VL_OK);
  while (vl_client_unsent(client) > 0) {
    if (poll(&poller, 1, 0) == 1) {
      CHECK_EQUAL(vl_client_process(client), VL_OK);
    } else {
      CHECK_EQUAL(read_packet(second, received, sizeof received), sizeof data);
    }
  }
  vl_client_free(client);
  close(second);
}

static void what_has_come_is_bounded(void) {
  int socket;
  static unsigned char data[10000];
  vl_packet packet;
  vl_client_options options = quick(1);
  options.receive_limit = 50000;
  vl_client *client = connected(&options, &socket);
  int sent = 0;
  unsigned char framed[10004];
  vli_put32(framed, sizeof data);
  fill(framed + 4, sizeof data, 0);
  size_t at = 0;
  for (;;) {
    ssize_t count = send(socket, framed + at, sizeof framed - at, MSG_DONTWAIT);
    CHECK_EQUAL(vl_client_process(client), VL_OK);
    CHECK(vli_inbox_size(&client->inbox) <= 50000 + READ_SIZE);
    if (count < 0) {
      if (vli_inbox_size(&client->inbox) < 50000) continue;
      break;
    }
    at += (size_t)count;
    if (at == sizeof framed) at = 0, sent++;
  }
  CHECK(sent > 5);
  for (int i = 0; i < sent; i++) {
    CHECK_EQUAL(vl_client_receive(client, &packet, -1), VL_OK);
    CHECK(packet.size == sizeof data && is_filled(packet.data, packet.size, 0));
  }
  vl_client_free(client);
  close(socket);
}

/* ---- The session as a whole ---- */

static void *take_new_and_close(void *argument) {
  close(fake_relay_take_new(&relay));
  return argument;
}

static void *say_over_twice_then_take_new(void *argument) {
  int twice = 2;
  say_it_is_over(&twice);
  close(fake_relay_take_new(&relay));
  return argument;
}

static void *take_old_and_close(void *argument) {
  close(fake_relay_take_old(&relay));
  return argument;
}

static void open_saves_and_resumes(void) {
  char folder[] = "/tmp/libvoltlane-client-XXXXXX", path[64], command[64];
  CHECK(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/session", folder);
  vl_client *client, *other;
  int resumed;
  vl_client_options options = quick(0);
  void *(*const plays[])(void *) = {take_new_and_close, take_old_and_close, say_over_twice_then_take_new,
                                    take_old_and_close};
  for (int i = 0; i < 4; i++) {
    pthread_t thread = fake_relay_play(plays[i], NULL);
    CHECK_EQUAL(vl_client_open(&client, relay.address, path, &resumed, &options), VL_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQUAL(resumed, i % 2);
    CHECK_EQUAL(vl_client_open(&other, relay.address, path, &resumed, &options), VL_E_IN_USE);
    CHECK(other == NULL);
    vl_client_free(client);
  }
  snprintf(command, sizeof command, "rm -r %s", folder);
  CHECK(system(command) == 0);
}

static void options_are_checked(void) {
  vl_client *client;
  vl_client_options options = {0};
  CHECK_EQUAL(vl_client_connect(&client, relay.address, &options), VL_E_ARGUMENT);
  options = quick(1);
  options.last_delay = 0;
  CHECK_EQUAL(vl_client_connect(&client, relay.address, &options), VL_E_ARGUMENT);
  options = quick(1);
  options.max_packet_size = 0;
  CHECK_EQUAL(vl_client_connect(&client, relay.address, &options), VL_E_ARGUMENT);
  options = quick(1);
  options.relay_key = (const unsigned char[33]){1};
  CHECK_EQUAL(vl_client_connect(&client, relay.address, &options), VL_E_ARGUMENT);
  /* An older program knows fewer of them. */
  options = quick(1);
  options.struct_size = offsetof(vl_client_options, dead_after);
  options.dead_after = 7;
  int socket;
  client = connected(&options, &socket);
  CHECK(client->options.dead_after == 30000 && client->options.last_delay == 20);
  vl_client_free(client);
  close(socket);
  vl_client_free(NULL);
}

int main(void) {
  fake_relay_start(&relay);
  RUN(id_and_session_are_known);
  RUN(received_packets_stay_until_the_next_receive);
  RUN(sent_packets_are_copied);
  RUN(sending_waits_for_room_and_no_longer_than_told);
  RUN(everything_has_a_time);
  RUN(dead_network_is_noticed);
  RUN(errors_belong_to_their_thread);
  RUN(names_are_resolved_without_blocking);
  RUN(addresses_that_are_none);
  RUN(many_send_while_one_receives_and_one_closes);
  RUN(comes_back_by_itself);
  RUN(a_shared_session_is_left_to_the_other);
  RUN(packet_sent_in_part_goes_whole_on_the_next_connection);
  RUN(session_over_is_believed_the_second_time);
  RUN(gives_up);
  RUN(without_reconnecting_it_says_how_it_ended);
  RUN(relay_that_sends_too_much_is_left);
  RUN(reconnects_under_a_thread_that_receives);
  RUN(one_descriptor_tells_of_everything);
  RUN(what_has_come_is_bounded);
  RUN(open_saves_and_resumes);
  RUN(options_are_checked);
  fake_relay_stop(&relay);
  TESTS_DONE();
}
