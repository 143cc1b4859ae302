/* A program for the earlier C client, as it was written, and what was wrong with that client. */
#include <voltlane/clientcom.h>

#include "fake_relay.h"

static struct fake_relay relay;
static int times_to_come_back;

/* A relay whose backend sends every packet back. */
static void *echo(void *argument) {
  unsigned char *data = malloc(8388600);
  int socket = fake_relay_take_new(&relay);
  for (;;) {
    long size;
    while ((size = read_packet(socket, data, 8388600)) >= 0) {
      if (size == 4 && memcmp(data, "drop", 4) == 0) break;
      write_packet(socket, data, (size_t)size);
    }
    close(socket);
    if (times_to_come_back-- == 0) break;
    socket = fake_relay_take_old(&relay);
  }
  free(data);
  return argument;
}

/* ---- The program, with nothing but the functions of the earlier header ---- */

static int program(const char *address) {
  vl_connection *connection = vl_connection_new(address);
  if (!connection) return 1;
  const size_t sizes[] = {5, 0, 65535, 65536, 65537, 8388599, 65536, 8388599, 1};
  static char data[8388599];
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (size_t j = 0; j < sizes[i]; j++) data[j] = (char)(j * 7 + i);
    if (vl_connection_send(connection, data, sizes[i]) != 0) return 2;
    vl_message message = vl_connection_recv(connection);
    if (!message.data || message.size != sizes[i]) return 3;
    if (memcmp(message.data, data, sizes[i]) != 0) return 4;
  }
  /* The connection breaks; the same session goes on. */
  if (vl_connection_send(connection, "drop", 4) != 0) return 5;
  vl_message message = vl_connection_recv(connection);
  if (message.data || message.size) return 6;
  if (!vl_get_last_error()[0]) return 7;
  if (vl_connection_reconnect(connection) != 0) return 8;
  if (vl_connection_send(connection, "back", 4) != 0) return 9;
  message = vl_connection_recv(connection);
  if (message.size != 4 || memcmp(message.data, "back", 4) != 0) return 10;
  /* Also while it is well. */
  if (vl_connection_reconnect(connection) != 0) return 11;
  if (vl_connection_send(connection, "again", 5) != 0) return 12;
  message = vl_connection_recv(connection);
  if (message.size != 5 || memcmp(message.data, "again", 5) != 0) return 13;
  vl_connection_free(connection);
  return 0;
}

static void programs_run_unchanged(void) {
  times_to_come_back = 2;
  pthread_t thread = fake_relay_play(echo, NULL);
  CHECK_EQUAL(program(relay.address), 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void failures_are_told(void) {
  CHECK(vl_connection_new("nonsense") == NULL);
  CHECK(strstr(vl_get_last_error(), "nonsense"));
  CHECK(vl_connection_new(NULL) == NULL);
  vl_connection_free(NULL);
  CHECK(vl_connection_recv(NULL).data == NULL);
  CHECK_EQUAL(vl_connection_send(NULL, "x", 1), -1);
  CHECK_EQUAL(vl_connection_reconnect(NULL), -1);
  CHECK_EQUAL(vl_connection_id(NULL), 0);
  /* Any number of failures; the sanitizers see whether one of them leaks. */
  for (int i = 0; i < 1000; i++) CHECK(vl_connection_new("[") == NULL);
}

static void id_and_timeout_can_be_had(void) {
  times_to_come_back = 0;
  pthread_t thread = fake_relay_play(echo, NULL);
  vl_connection *connection = vl_connection_new(relay.address);
  CHECK(connection);
  CHECK(vl_connection_id(connection) == relay.next_id);
  vl_connection_set_timeout(connection, 20);
  CHECK(vl_connection_recv(connection).data == NULL);
  CHECK(strstr(vl_get_last_error(), "20 ms"));
  CHECK_EQUAL(vl_connection_send(connection, NULL, 1), -1);
  vl_connection_set_timeout(connection, -1);
  CHECK_EQUAL(vl_connection_send(connection, "x", 1), 0);
  CHECK(vl_connection_recv(connection).size == 1);
  vl_connection_free(connection);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void *receive(void *connection) {
  for (int i = 0; i < 1000; i++) {
    vl_message message = vl_connection_recv(connection);
    CHECK(message.data && message.size == 4);
    CHECK_EQUAL(vli_get32((const unsigned char *)message.data), i);
  }
  return NULL;
}

static void one_thread_receives_while_another_sends(void) {
  times_to_come_back = 0;
  pthread_t thread = fake_relay_play(echo, NULL);
  vl_connection *connection = vl_connection_new(relay.address);
  pthread_t receiver = fake_relay_play(receive, connection);
  for (uint32_t i = 0; i < 1000; i++) {
    char data[4];
    vli_put32((unsigned char *)data, i);
    CHECK_EQUAL(vl_connection_send(connection, data, 4), 0);
  }
  CHECK(pthread_join(receiver, NULL) == 0);
  vl_connection_free(connection);
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(void) {
  fake_relay_start(&relay);
  RUN(programs_run_unchanged);
  RUN(failures_are_told);
  RUN(id_and_timeout_can_be_had);
  RUN(one_thread_receives_while_another_sends);
  fake_relay_stop(&relay);
  TESTS_DONE();
}
