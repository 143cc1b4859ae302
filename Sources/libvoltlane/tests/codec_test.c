/* The codecs against the worked bytes, and against input that is cut, wrong or hostile. */
#include "codec_test.h"

#include "crypto.h"
#include "varint.h"
#include "vectors.h"

/* ---- Integers, keys, boxes ---- */

static void varints_are_those_of_the_vectors(void) {
  const char *at = strstr(vectors_text(), "\"varint\"");
  const char *end = strstr(at, "\"packets\"");
  int count = 0;
  for (at = strchr(at, '['); (at = strchr(at + 1, '[')) && at < end; count++) {
    unsigned long long value;
    CHECK(sscanf(at, "[ %llu", &value) == 1);
    struct vector bytes = hexadecimal(strchr(at, '"') + 1);
    unsigned char written[VLI_VARINT_MAX];
    CHECK(is_vector(written, vli_varint_put(written, value), bytes));
    uint64_t read = 0;
    CHECK_EQUAL(vli_varint_get(bytes.bytes, bytes.size, 8, &read), bytes.size);
    CHECK(read == value);
    for (size_t cut = 0; cut < bytes.size; cut++) CHECK_EQUAL(vli_varint_get(bytes.bytes, cut, 8, &read), 0);
    CHECK_EQUAL(vli_varint_get(bytes.bytes, bytes.size, 4, &read), bytes.bytes[0] == 253 ? 0 : bytes.size);
  }
  CHECK_EQUAL(count, 14);
  uint64_t value;
  const unsigned char longer[] = {253, 7, 0, 0, 0, 0, 0, 0, 0}, nine[9] = {254, 1}, ten[9] = {255, 1};
  CHECK_EQUAL(vli_varint_get(longer, 9, 8, &value), 9);
  CHECK(value == 7);
  CHECK_EQUAL(vli_varint_get(nine, 9, 8, &value), 0);
  CHECK_EQUAL(vli_varint_get(ten, 9, 8, &value), 0);
}

static void keys_are_those_of_the_vectors(void) {
  const char *names[] = {"server", "client"};
  for (int i = 0; i < 2; i++) {
    char name[64];
    unsigned char key[VL_PUBLIC_KEY_SIZE];
    snprintf(name, sizeof name, "%s_secret", names[i]);
    CHECK_EQUAL(vli_public_key(key, vector("keys", name).bytes), VL_OK);
    snprintf(name, sizeof name, "%s_public_compressed", names[i]);
    CHECK(is_vector(key, sizeof key, vector("keys", name)));
    snprintf(name, sizeof name, "%s_public_uncompressed", names[i]);
    struct vector whole = vector("keys", name);
    memset(key, 0, sizeof key);
    CHECK_EQUAL(vli_public_key_read(key, whole.bytes, whole.size), VL_OK);
    snprintf(name, sizeof name, "%s_public_compressed", names[i]);
    CHECK(is_vector(key, sizeof key, vector("keys", name)));
    /* The hybrid form, which libsecp256k1 would take. */
    whole.bytes[0] = (unsigned char)(6 | (whole.bytes[64] & 1));
    CHECK_EQUAL(vli_public_key_read(key, whole.bytes, whole.size), VL_E_ARGUMENT);
    whole.bytes[0] = 4;
    whole.bytes[64] ^= 1;
    CHECK_EQUAL(vli_public_key_read(key, whole.bytes, whole.size), VL_E_ARGUMENT);
    CHECK_EQUAL(vli_public_key_read(key, whole.bytes, 33), VL_E_ARGUMENT);
    CHECK_EQUAL(vli_public_key_read(key, whole.bytes, 0), VL_E_ARGUMENT);
  }
}

static void session_key_and_boxes_are_those_of_the_vectors(void) {
  unsigned char key[VLI_SESSION_KEY_SIZE], plain[VLI_CHALLENGE_SIZE], box[VLI_BOX_SIZE];
  struct vector secret = vector("keys", "client_secret"), relay = vector("keys", "server_public_compressed");
  CHECK_EQUAL(vli_session_key(key, secret.bytes, relay.bytes), VL_OK);
  CHECK(is_vector(key, sizeof key, vector("ecdh", "session_key")));
  CHECK_EQUAL(vli_box_open(plain, vector("challenge", "box").bytes, key), 0);
  CHECK(is_vector(plain, sizeof plain, vector("challenge", "plain")));
  vli_box_seal(box, plain, vector("challenge", "response_nonce").bytes, key);
  CHECK(is_vector(box, sizeof box, vector("challenge", "response_box")));
  for (size_t i = 0; i < sizeof box; i++) {
    box[i] ^= 1;
    CHECK(vli_box_open(plain, box, key) != 0);
    box[i] ^= 1;
  }
  unsigned char nothing[32] = {0};
  CHECK_EQUAL(vli_session_key(key, nothing, relay.bytes), VL_E_ARGUMENT);
}

/* ---- The client's codec ---- */

static void take_output(vl_client_codec *codec, unsigned char *bytes, size_t *size) {
  const unsigned char *output;
  size_t count;
  /* In pieces, as a socket might take them. */
  for (*size = 0; (count = vl_client_codec_output(codec, &output)) > 0; *size += count) {
    count = (count + 1) / 2;
    memcpy(bytes + *size, output, count);
    vl_client_codec_sent(codec, count);
  }
}

static size_t framed(unsigned char *to, struct vector packet) {
  vl_put_packet_header(to, packet.size);
  memcpy(to + 4, packet.bytes, packet.size);
  return 4 + packet.size;
}

/* Gives bytes to the codec, `step` at a time, and drops what is used, as a caller does, up to an event or failure. */
static int feed(vl_client_codec *codec, const unsigned char *bytes, size_t size, size_t step, vl_client_event *event) {
  static unsigned char held[4096];
  size_t filled = 0, used;
  for (size_t at = 0;; at += step) {
    size_t count = size - at < step ? size - at : step;
    memcpy(held + filled, bytes + at, count);
    filled += count;
    int failure = vl_client_codec_read(codec, held, filled, &used, event);
    CHECK(used <= filled);
    filled -= used;
    memmove(held, held + used, filled);
    if (failure || event->kind != VL_CLIENT_MORE) return failure;
    CHECK(event->needed > filled);
    if (at + count >= size) return VL_OK;
  }
}

static void new_client(void) {
  unsigned char out[256], in[256];
  size_t size;
  vl_client_codec codec;
  vl_client_event event;
  for (size_t step = 1; step <= 64; step++) {
    CHECK_EQUAL(vl_client_codec_init(&codec, vector("keys", "client_secret").bytes, NULL, 0), VL_OK);
    take_output(&codec, out, &size);
    CHECK_EQUAL(size, 45);
    CHECK(is_vector(out, 6, vector("framed", "version_2")));
    CHECK(out[6] == 35 && out[10] == 2 && out[11] == 33);
    CHECK(is_vector(out + 12, 33, vector("keys", "client_public_compressed")));
    size = framed(in, vector("packets", "server_pubkey"));
    size += framed(in + size, vector("packets", "client_id_0x0123456789abcdef"));
    CHECK_EQUAL(feed(&codec, in, size, step, &event), VL_OK);
    CHECK_EQUAL(event.kind, VL_CLIENT_READY);
    vl_session session;
    vl_client_codec_session(&codec, &session);
    CHECK(session.client_id == 0x0123456789abcdef);
    CHECK(is_vector(session.relay_key, 33, vector("keys", "server_public_compressed")));
    CHECK(is_vector(session.secret_key, 32, vector("keys", "client_secret")));
    CHECK_EQUAL(vl_client_codec_output(&codec, &(const unsigned char *){NULL}), 0);
  }
}

static vl_session vector_session(void) {
  vl_session session = {.client_id = 0x0123456789abcdef};
  memcpy(session.secret_key, vector("keys", "client_secret").bytes, 32);
  memcpy(session.relay_key, vector("keys", "server_public_compressed").bytes, 33);
  return session;
}

static void returning_client(void) {
  unsigned char out[256], in[256];
  size_t size;
  vl_client_codec codec;
  vl_client_event event;
  vl_session session = vector_session();
  for (size_t step = 1; step <= 100; step++) {
    CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
    take_output(&codec, out, &size);
    CHECK(is_vector(out, size, vector("framed", "version_2")));
    CHECK_EQUAL(feed(&codec, in, framed(in, vector("packets", "server_pubkey")), step, &event), VL_OK);
    take_output(&codec, out, &size);
    CHECK(is_vector(out + 4, size - 4, vector("packets", "client_id_0x0123456789abcdef")));
    CHECK_EQUAL(feed(&codec, in, framed(in, vector("packets", "challenge")), step, &event), VL_OK);
    take_output(&codec, out, &size);
    CHECK_EQUAL(size, 78 + 5);
    CHECK(out[0] == 74 && out[4] == 5 && out[5] == 72);
    unsigned char plain[VLI_CHALLENGE_SIZE];
    CHECK_EQUAL(vli_box_open(plain, out + 6, vector("ecdh", "session_key").bytes), 0);
    CHECK(is_vector(plain, sizeof plain, vector("challenge", "plain")));
    CHECK(memcmp(out + 78 - 24, vector("challenge", "nonce").bytes, 24) != 0);
    CHECK(memcmp(out + 78, "\1\0\0\0\0", 5) == 0);
    CHECK_EQUAL(feed(&codec, (const unsigned char *)"\1\0\0\0\0", 5, step, &event), VL_OK);
    CHECK_EQUAL(event.kind, VL_CLIENT_READY);
  }
}

/* Nothing of the output needs to be taken for the next thing to be read. */
static void output_has_room_for_all(void) {
  unsigned char in[512], out[256];
  vl_client_codec codec;
  vl_client_event event;
  vl_session session = vector_session();
  size_t used;
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
  size_t size = framed(in, vector("packets", "server_pubkey"));
  size += framed(in + size, vector("packets", "challenge"));
  memcpy(in + size, "\1\0\0\0\0", 5);
  size += 5;
  /* And the first packets come in the same read. */
  memcpy(in + size, "\5\0\0\0hello\0\0\0\0", 13);
  size += 13;
  CHECK_EQUAL(vl_client_codec_read(&codec, in, size, &used, &event), VL_OK);
  CHECK_EQUAL(event.kind, VL_CLIENT_READY);
  CHECK_EQUAL(used, size - 13);
  const unsigned char *at = in + used;
  CHECK_EQUAL(vl_client_codec_read(&codec, at, 13, &used, &event), VL_OK);
  CHECK(event.kind == VL_CLIENT_PACKET && event.size == 5 && event.data == at + 4 && used == 9);
  CHECK_EQUAL(vl_client_codec_read(&codec, at + 9, 4, &used, &event), VL_OK);
  CHECK(event.kind == VL_CLIENT_PACKET && event.size == 0 && event.data && used == 4);
  CHECK_EQUAL(vl_client_codec_read(&codec, at, 0, &used, &event), VL_OK);
  CHECK(event.kind == VL_CLIENT_MORE && event.needed == 4 && used == 0);
  take_output(&codec, out, &size);
  CHECK_EQUAL(size, 6 + 14 + 78 + 5);
}

static int failure_of(vl_client_codec *codec, const void *bytes, size_t size) {
  vl_client_event event;
  size_t used;
  int failure = vl_client_codec_read(codec, bytes, size, &used, &event);
  /* It stays so. */
  CHECK_EQUAL(vl_client_codec_read(codec, bytes, 0, &used, &event), failure);
  CHECK(!failure || vl_client_codec_end(codec, 1, 0) == failure);
  return failure;
}

static void what_is_no_relay(void) {
  vl_client_codec codec;
  const struct {
    const char *bytes;
    size_t size;
  } wrong[] = {
      {"HTTP/1.1 400", 12},                   /* a size above 256 */
      {"\1\1\0\0", 4},                        /* 257 */
      {"\0\0\0\0", 4},                        /* no kind */
      {"\1\0\0\0\0", 5},                      /* a ping out of turn */
      {"\2\0\0\0\2\x21", 6},                  /* a key without its bytes */
      {"\1\0\0\0\2", 5},                      /* a key without its count */
      {"\4\0\0\0\2\2\2\2", 8},                /* a key of 2 bytes */
      {"\2\0\0\0\3\7", 6},                    /* an id before the key */
      {"\5\0\0\0\xfd\2\0\0\0", 9},            /* a kind too wide */
      {"\1\0\0\0\xff", 5},                    /* no varint */
      {"\x0b\0\0\0\2\xfd\xff\xff\xff\xff\xff\xff\xff\xff\2", 15}, /* a key of 2^64 - 1 bytes */
      {"\2\0\0\0\x06\0", 6},                  /* an unknown kind */
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    CHECK_EQUAL(vl_client_codec_init(&codec, NULL, NULL, 0), VL_OK);
    CHECK_EQUAL(failure_of(&codec, wrong[i].bytes, wrong[i].size), VL_E_PROTOCOL);
  }
}

static void other_relays_and_bad_challenges(void) {
  unsigned char in[512];
  vl_client_codec codec;
  vl_session session = vector_session();
  /* Another key, for a client that comes back and for one that was told the key. */
  struct vector other = vector("packets", "server_pubkey");
  memcpy(other.bytes + 2, vector("keys", "client_public_compressed").bytes, 33);
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, other)), VL_E_WRONG_RELAY_KEY);
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, session.relay_key, 0), VL_OK);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, other)), VL_E_WRONG_RELAY_KEY);
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, session.relay_key, 0), VL_OK);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, vector("packets", "server_pubkey"))), VL_OK);
  /* A challenge that cannot be opened, and one of another length. */
  size_t size = framed(in, vector("packets", "server_pubkey"));
  struct vector challenge = vector("packets", "challenge");
  for (size_t i = 2; i < challenge.size; i++) {
    struct vector changed = challenge;
    changed.bytes[i] ^= 0x80;
    CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
    CHECK_EQUAL(failure_of(&codec, in, size + framed(in + size, changed)), VL_E_INVALID_CHALLENGE);
  }
  challenge.bytes[1] = 71;
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
  CHECK_EQUAL(failure_of(&codec, in, size + framed(in + size, challenge)), VL_E_PROTOCOL);
  /* Keys that are none. */
  CHECK_EQUAL(vl_client_codec_init(&codec, (const unsigned char[32]){0}, NULL, 0), VL_E_ARGUMENT);
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, (const unsigned char[33]){0}, 0), VL_E_ARGUMENT);
  memset(session.secret_key, 0, 32);
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_E_INVALID_SESSION);
  session = vector_session();
  session.relay_key[0] = 9;
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_E_INVALID_SESSION);
}

static void what_an_end_means(void) {
  unsigned char in[512];
  vl_client_codec codec;
  vl_session session = vector_session();
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, NULL, 0), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_CLOSED_DURING_HANDSHAKE);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, vector("packets", "server_pubkey"))), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_CLOSED_DURING_HANDSHAKE);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, vector("packets", "client_id_7"))), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_CLOSED_BY_RELAY);
  CHECK_EQUAL(vl_client_codec_end(&codec, 0, 0), VL_E_CONNECTION_LOST);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 3), VL_E_CONNECTION_LOST);
  CHECK_EQUAL(vl_client_codec_init_resume(&codec, &session, 0), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_CLOSED_DURING_HANDSHAKE);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, vector("packets", "server_pubkey"))), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_SESSION_OVER);
  CHECK_EQUAL(vl_client_codec_end(&codec, 0, 0), VL_E_REFUSED);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 5), VL_E_REFUSED);
  CHECK_EQUAL(failure_of(&codec, in, framed(in, vector("packets", "challenge"))), VL_OK);
  CHECK_EQUAL(vl_client_codec_end(&codec, 1, 0), VL_E_REFUSED);
}

/* What a later version of the protocol might add is ignored. */
static void bytes_behind_the_fields_are_ignored(void) {
  unsigned char in[512];
  vl_client_codec codec;
  vl_client_event event;
  size_t used;
  struct vector key = vector("packets", "server_pubkey");
  memset(key.bytes + key.size, 7, 9);
  key.size += 9;
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, NULL, 0), VL_OK);
  size_t size = framed(in, key);
  memcpy(in + size, "\4\0\0\0\3\7xx", 8);
  CHECK_EQUAL(vl_client_codec_read(&codec, in, size + 8, &used, &event), VL_OK);
  CHECK(event.kind == VL_CLIENT_READY && used == size + 8);
  vl_session session;
  vl_client_codec_session(&codec, &session);
  CHECK_EQUAL(session.client_id, 7);
}

static void largest_packet_of_a_client(void) {
  unsigned char in[512];
  vl_client_codec codec;
  vl_client_event event;
  size_t used;
  CHECK_EQUAL(vl_client_codec_init(&codec, NULL, NULL, 10), VL_OK);
  size_t size = framed(in, vector("packets", "server_pubkey"));
  CHECK_EQUAL(failure_of(&codec, in, size + framed(in + size, vector("packets", "client_id_7"))), VL_OK);
  CHECK_EQUAL(vl_client_codec_read(&codec, "\x0a\0\0\0", 4, &used, &event), VL_OK);
  CHECK(event.kind == VL_CLIENT_MORE && event.needed == 14);
  CHECK_EQUAL(failure_of(&codec, "\x0b\0\0\0", 4), VL_E_PROTOCOL);
}

/* ---- The backend's codec ---- */

static vl_backend_event next(vl_backend_codec *codec, const unsigned char **at, size_t *size) {
  vl_backend_event event;
  size_t used;
  CHECK_EQUAL(vl_backend_codec_read(codec, *at, *size, &used, &event), VL_OK);
  *at += used;
  *size -= used;
  return event;
}

static void tagged_packets(void) {
  vl_backend_codec codec;
  const char *names[] = {
      "data_hello_from_0x0123456789abcdef", "data_empty_from_7", "failure_7", "reconnection_7", "kick_7"};
  unsigned char stream[512];
  size_t size = 0;
  for (size_t i = 0; i < 5; i++) {
    struct vector packet = vector("tagged", names[i]);
    memcpy(stream + size, packet.bytes, packet.size);
    size += packet.size;
  }
  const unsigned char *at = stream;
  vl_backend_codec_init(&codec, 0);
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_ANNOUNCED);
  CHECK(at == stream);
  vl_backend_event event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_DATA && event.client_id == 0x0123456789abcdef && event.size == 5);
  CHECK(memcmp(event.data, "hello", 5) == 0);
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_DATA && event.client_id == 7 && event.size == 0 && event.data);
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_FAILURE && event.client_id == 7);
  CHECK(event.size == 19 && memcmp(event.data, "client disconnected", 19) == 0);
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_RECONNECTION && event.client_id == 7);
  /* A kick goes the other way. */
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_SKIPPED);
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_MORE && event.needed == 4 && size == 0);
}

static void extensions(void) {
  vl_backend_codec codec;
  const char *section = "firehose_extensions_framed";
  vl_backend_codec_init(&codec, 0);
  const unsigned char *at;
  size_t size;
  struct vector packet = vector(section, "away");
  at = packet.bytes, size = packet.size;
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_ANNOUNCED);
  vl_backend_event event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_AWAY && event.client_id == 0x1122334455667788);
  packet = vector(section, "address_v4"), at = packet.bytes, size = packet.size;
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_ADDRESS && event.client_id == 0x1122334455667788);
  CHECK(event.address.family == 4 && event.address.port == 50000);
  CHECK(memcmp(event.address.bytes, "\300\0\2\7", 4) == 0);
  packet = vector(section, "address_v6"), at = packet.bytes, size = packet.size;
  event = next(&codec, &at, &size);
  CHECK(event.address.family == 6 && event.address.port == 50000 && event.address.bytes[15] == 7);
  packet = vector(section, "address_unknown"), at = packet.bytes, size = packet.size;
  event = next(&codec, &at, &size);
  CHECK(event.kind == VL_BACKEND_ADDRESS && event.address.family == 0 && event.address.port == 0);
  /* Of another length, or another family. */
  packet = vector(section, "address_v4"), packet.bytes[0]--, at = packet.bytes, size = packet.size - 1;
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_SKIPPED);
  packet = vector(section, "address_v4"), packet.bytes[13] = 5, at = packet.bytes, size = packet.size;
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_SKIPPED);

  unsigned char out[128];
  const uint64_t ids[] = {0x1122334455667788, 0x99aabbccddeeff00};
  vl_put_tagged_header(out, ids[0], VL_FLAG_VOLATILE, 3);
  memcpy(out + 13, "pos", 3);
  CHECK(is_vector(out, 16, vector(section, "volatile")));
  vl_put_multicast_header(out, VL_FLAG_VOLATILE, 2, 3);
  vl_put_ids(out + 18, ids, 2);
  memcpy(out + 34, "all", 3);
  CHECK(is_vector(out, 37, vector(section, "multicast")));
  vl_put_multicast_header(out, VL_FLAG_DATA, 0, 0);
  CHECK(is_vector(out, 18, vector(section, "multicast_empty_packet_no_ids")));
  vl_put_tagged_header(out, 7, VL_FLAG_KICK, 0);
  CHECK(is_vector(out, 13, vector("tagged", "kick_7")));
  vl_put_tagged_header(out, 0x0123456789abcdef, VL_FLAG_DATA, 5);
  memcpy(out + 13, "hello", 5);
  CHECK(is_vector(out, 18, vector("tagged", "data_hello_from_0x0123456789abcdef")));
}

static size_t put_tagged(unsigned char *to, uint64_t id, int flag, const char *data, size_t size) {
  vl_put_tagged_header(to, id, flag, size);
  memcpy(to + 13, data, size);
  return 13 + size;
}

/* The list with which a connection begins: reconnections, each with an address and an away of its own. */
static void end_of_the_list(void) {
  const struct {
    const char *packets;
    int listed;
  } cases[] = {
      {"", -1},      {"R1", -1},       {"R1R2", -1},     {"R1D1", 1},     {"D1", 0},          {"R1W1R2D2", 3},
      {"R1A1R2", -1}, {"R1A1W1R2", -1}, {"R1W1A1", 2},    {"R1A2", 1},     {"R1W2", 1},        {"A1", 0},
      {"R1F1", 1},   {"R1A1A1", 2},    {"R1W1W1", 2},    {"R1R1W1R2F2", 4}, {"R1A1W1R2A2W2D1", 6},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unsigned char stream[512];
    size_t size = 0;
    for (const char *at = cases[i].packets; *at; at += 2) {
      int flag = *at == 'R' ? 3 : *at == 'W' ? 4 : *at == 'A' ? 7 : *at == 'F' ? 1 : 0;
      size += put_tagged(stream + size, (uint64_t)(at[1] - '0'), flag, "\0\0\0", flag == 7 ? 3 : 0);
    }
    vl_backend_codec codec;
    vl_backend_codec_init(&codec, 0);
    const unsigned char *at = stream;
    int announced = -1, count = 0;
    for (int kind; (kind = next(&codec, &at, &size).kind) != VL_BACKEND_MORE;) {
      if (kind == VL_BACKEND_ANNOUNCED) {
        CHECK_EQUAL(announced, -1);
        announced = count;
      } else {
        count++;
      }
    }
    CHECK_EQUAL(count, strlen(cases[i].packets) / 2);
    CHECK_EQUAL(announced, cases[i].listed);
  }
}

static void what_is_skipped_and_what_is_too_large(void) {
  vl_backend_codec codec;
  vl_backend_event event;
  size_t used;
  vl_backend_codec_init(&codec, 10);
  CHECK_EQUAL(vl_backend_codec_read(&codec, "\x13\0\0\0", 4, &used, &event), VL_OK);
  CHECK(event.kind == VL_BACKEND_MORE && event.needed == 4 + 19);
  CHECK_EQUAL(vl_backend_codec_read(&codec, "\x14\0\0\0", 4, &used, &event), VL_E_PROTOCOL);
  unsigned char stream[64];
  size_t size = put_tagged(stream, 1, VL_BACKEND_DATA - 1, "", 0);
  const unsigned char *at = stream;
  CHECK_EQUAL(next(&codec, &at, &size).kind, VL_BACKEND_ANNOUNCED);
  for (int flag = 0; flag < 256; flag++) {
    bool is_known = flag == 0 || flag == 1 || flag == 3 || flag == 4;
    size = put_tagged(stream, 1, flag, "", 0);
    at = stream;
    CHECK((next(&codec, &at, &size).kind == VL_BACKEND_SKIPPED) == !is_known);
    CHECK_EQUAL(size, 0);
  }
  for (size_t length = 0; length < 9; length++) {
    memset(stream, 0, sizeof stream);
    stream[0] = (unsigned char)length;
    at = stream, size = 4 + length;
    event = next(&codec, &at, &size);
    CHECK(event.kind == VL_BACKEND_SKIPPED && size == 0 && event.client_id == 0 && event.data == NULL);
  }
}

int main(void) {
  RUN(varints_are_those_of_the_vectors);
  RUN(keys_are_those_of_the_vectors);
  RUN(session_key_and_boxes_are_those_of_the_vectors);
  long before = allocations;
  /* Not to be optimised away. */
  void *volatile block = malloc(1);
  free(block);
  CHECK(allocations > before || !COUNTS_ALLOCATIONS);
  before = allocations;
  RUN(new_client);
  RUN(returning_client);
  RUN(output_has_room_for_all);
  RUN(what_is_no_relay);
  RUN(other_relays_and_bad_challenges);
  RUN(what_an_end_means);
  RUN(bytes_behind_the_fields_are_ignored);
  RUN(largest_packet_of_a_client);
  RUN(tagged_packets);
  RUN(extensions);
  RUN(end_of_the_list);
  RUN(what_is_skipped_and_what_is_too_large);
  /* The codecs take no memory of their own; nor do the libraries below them. */
  CHECK_EQUAL(allocations, before);
  TESTS_DONE();
}
