/* A relay in the hands of a test: it listens, shakes hands as far as it is told, and sends what it is told. It blocks;
 * the client under test is in another thread, or does not block. */
#ifndef FAKE_RELAY_H
#define FAKE_RELAY_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bytes.h"
#include "crypto.h"
#include "test.h"
#include "varint.h"

struct fake_relay {
  int listener;
  char address[32];
  unsigned char secret[32], key[33], client_key[33];
  uint64_t next_id;
};

static inline void fake_relay_start(struct fake_relay *relay) {
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof place;
  CHECK(vli_crypto_start() == VL_OK);
  CHECK(vli_secret_key_make(relay->secret) == VL_OK);
  CHECK(vli_public_key(relay->key, relay->secret) == VL_OK);
  relay->next_id = 0xfedcba9876543210;
  relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  /* Of what it accepts: what a client sends to one that does not read soon waits at the client. */
  int buffer = 1 << 16;
  CHECK(setsockopt(relay->listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0);
  CHECK(bind(relay->listener, (struct sockaddr *)&place, size) == 0 && listen(relay->listener, 16) == 0);
  CHECK(getsockname(relay->listener, (struct sockaddr *)&place, &size) == 0);
  snprintf(relay->address, sizeof relay->address, "127.0.0.1:%d", ntohs(place.sin_port));
}

static inline void fake_relay_stop(struct fake_relay *relay) {
  close(relay->listener);
}

static inline int fake_relay_accept(struct fake_relay *relay) {
  int socket = accept(relay->listener, NULL, NULL);
  CHECK(socket >= 0);
  return socket;
}

static inline void write_all(int socket, const void *bytes, size_t size) {
  for (const unsigned char *at = bytes; size > 0;) {
    ssize_t count = send(socket, at, size, MSG_NOSIGNAL);
    CHECK(count > 0);
    at += count;
    size -= (size_t)count;
  }
}

/* False at the end. */
static inline bool read_all(int socket, void *bytes, size_t size) {
  for (unsigned char *at = bytes; size > 0;) {
    ssize_t count = recv(socket, at, size, 0);
    if (count <= 0) return false;
    at += count;
    size -= (size_t)count;
  }
  return true;
}

static inline void write_packet(int socket, const void *data, size_t size) {
  unsigned char header[4];
  vli_put32(header, (uint32_t)size);
  write_all(socket, header, 4);
  if (size > 0) write_all(socket, data, size);
}

/* The size of the packet that was read into `data`; -1 at the end. */
static inline long read_packet(int socket, unsigned char *data, size_t most) {
  unsigned char header[4];
  if (!read_all(socket, header, 4)) return -1;
  size_t size = vli_get32(header);
  CHECK(size <= most);
  return read_all(socket, data, size) ? (long)size : -1;
}

/* Up to the relay's key. */
static inline void fake_relay_greet(struct fake_relay *relay, int socket) {
  unsigned char packet[64] = {2, 33};
  CHECK_EQUAL(read_packet(socket, packet, sizeof packet), 2);
  CHECK(packet[0] == 1 && packet[1] == 2);
  packet[0] = 2;
  packet[1] = 33;
  memcpy(packet + 2, relay->key, 33);
  write_packet(socket, packet, 35);
}

/* Takes a new client; gives its socket. */
static inline int fake_relay_take_new(struct fake_relay *relay) {
  unsigned char packet[256];
  int socket = fake_relay_accept(relay);
  fake_relay_greet(relay, socket);
  CHECK_EQUAL(read_packet(socket, packet, sizeof packet), 35);
  CHECK(packet[0] == 2 && packet[1] == 33);
  memcpy(relay->client_key, packet + 2, 33);
  packet[0] = 3;
  write_packet(socket, packet, 1 + vli_varint_put(packet + 1, relay->next_id));
  return socket;
}

/* Up to the id of a client that comes back. */
static inline void fake_relay_greet_old(struct fake_relay *relay, int socket) {
  unsigned char packet[256];
  uint64_t id;
  fake_relay_greet(relay, socket);
  long size = read_packet(socket, packet, sizeof packet);
  CHECK(size > 1 && packet[0] == 3);
  CHECK(vli_varint_get(packet + 1, (size_t)size - 1, 8, &id) > 0 && id == relay->next_id);
}

/* Takes a client back. */
static inline int fake_relay_take_old(struct fake_relay *relay) {
  unsigned char packet[256], key[32], plain[32], nonce[24], box[72];
  int socket = fake_relay_accept(relay);
  fake_relay_greet_old(relay, socket);
  CHECK_EQUAL(vli_session_key(key, relay->secret, relay->client_key), VL_OK);
  fill(plain, sizeof plain, 9);
  fill(nonce, sizeof nonce, 77);
  packet[0] = 4;
  packet[1] = 72;
  vli_box_seal(packet + 2, plain, nonce, key);
  write_packet(socket, packet, 74);
  CHECK_EQUAL(read_packet(socket, packet, sizeof packet), 74);
  CHECK(packet[0] == 5 && packet[1] == 72);
  memcpy(box, packet + 2, 72);
  CHECK_EQUAL(vli_box_open(packet, box, key), 0);
  CHECK(memcmp(packet, plain, 32) == 0);
  CHECK_EQUAL(read_packet(socket, packet, sizeof packet), 1);
  CHECK_EQUAL(packet[0], 0);
  write_packet(socket, "", 1);
  return socket;
}

static inline void reset_socket(int socket) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(socket);
}

/* Runs a function with the relay in a thread of its own. */
static inline pthread_t fake_relay_play(void *(*play)(void *), void *argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, play, argument) == 0);
  return thread;
}

#endif
