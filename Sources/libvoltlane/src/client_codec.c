/* The client's side of the handshake, version 2, and then the client link's packets.
 *
 *     new:        version, key ->   <- relay's key   <- id                                          ready
 *     coming back:     version ->   <- relay's key   id ->   <- challenge   response, ping ->   <- ping   ready */
#include <string.h>
#include <voltlane/codec.h>

#include "crypto.h"
#include "error.h"
#include "frame.h"
#include "varint.h"

enum { PING = 0, PROTOCOL_VERSION = 1, PUBLIC_KEY = 2, CLIENT_ID = 3, CHALLENGE = 4, CHALLENGE_RESPONSE = 5 };

/* The largest packet of the handshake. */
#define HANDSHAKE_PACKET 256

/* All that is sent in the longest handshake, in case that nothing of it was taken meanwhile: version 6, id 14, response
 * 78, ping 5. */
#define OUTPUT_SIZE 128

enum state { AWAITING_RELAY_KEY, AWAITING_ID, AWAITING_CHALLENGE, AWAITING_PING, READY };

struct codec {
  size_t max_packet_size;
  int failure;
  unsigned char state;
  unsigned char is_resuming;
  /* The relay's key in the session is the only one that is accepted. */
  unsigned char is_pinned;
  unsigned char output_begin, output_end;
  vl_session session;
  unsigned char session_key[VLI_SESSION_KEY_SIZE];
  unsigned char output[OUTPUT_SIZE];
} __attribute__((may_alias));

_Static_assert(sizeof(struct codec) <= sizeof(vl_client_codec), "the public size has room for the codec");

static struct codec *inner(vl_client_codec *codec) {
  return (struct codec *)codec;
}

static const struct codec *inner_const(const vl_client_codec *codec) {
  return (const struct codec *)codec;
}

/* Adds a packet of the handshake to the output: its size, its kind and its fields. */
static void put(struct codec *codec, unsigned char kind, const unsigned char *fields, size_t size) {
  unsigned char *to = codec->output + codec->output_end;
  vli_put32(to, (uint32_t)(1 + size));
  to[4] = kind;
  if (size > 0) memcpy(to + 5, fields, size);
  codec->output_end = (unsigned char)(codec->output_end + 5 + size);
}

/* The same with a count before the bytes, which is below 251 for all that a client sends. */
static void put_counted(struct codec *codec, unsigned char kind, const unsigned char *bytes, size_t size) {
  unsigned char fields[1 + VLI_BOX_SIZE];
  fields[0] = (unsigned char)size;
  memcpy(fields + 1, bytes, size);
  put(codec, kind, fields, 1 + size);
}

static void begin(struct codec *codec, size_t max_packet_size) {
  memset(codec, 0, sizeof *codec);
  codec->max_packet_size = max_packet_size ? max_packet_size : VL_MAX_PACKET_SIZE;
  codec->state = AWAITING_RELAY_KEY;
  put(codec, PROTOCOL_VERSION, (const unsigned char[]){2}, 1);
}

int vl_client_codec_init(
    vl_client_codec *codec, const unsigned char *secret_key, const unsigned char *relay_key, size_t max_packet_size) {
  struct codec *self = inner(codec);
  if (vli_crypto_start()) return vli_fail(VL_E_SYSTEM, "the system gives no randomness");
  begin(self, max_packet_size);
  if (secret_key) {
    memcpy(self->session.secret_key, secret_key, VL_SECRET_KEY_SIZE);
  } else {
    int failure = vli_secret_key_make(self->session.secret_key);
    if (failure) return vli_fail(failure, "cannot make a key");
  }
  if (relay_key) {
    self->is_pinned = 1;
    if (vli_public_key_read(self->session.relay_key, relay_key, VL_PUBLIC_KEY_SIZE)) {
      return vli_fail(VL_E_ARGUMENT, "the relay's key that was given is no public key");
    }
  }
  unsigned char key[VL_PUBLIC_KEY_SIZE];
  int failure = vli_public_key(key, self->session.secret_key);
  if (failure) return vli_fail(failure, "the secret key that was given is none");
  put_counted(self, PUBLIC_KEY, key, sizeof key);
  return VL_OK;
}

int vl_client_codec_init_resume(vl_client_codec *codec, const vl_session *session, size_t max_packet_size) {
  struct codec *self = inner(codec);
  if (vli_crypto_start()) return vli_fail(VL_E_SYSTEM, "the system gives no randomness");
  begin(self, max_packet_size);
  self->session = *session;
  self->is_resuming = 1;
  self->is_pinned = 1;
  if (vli_session_key(self->session_key, session->secret_key, session->relay_key)) {
    return vli_fail(VL_E_INVALID_SESSION, "the session's keys are none");
  }
  return VL_OK;
}

size_t vl_client_codec_output(const vl_client_codec *codec, const unsigned char **bytes) {
  const struct codec *self = inner_const(codec);
  *bytes = self->output + self->output_begin;
  return (size_t)(self->output_end - self->output_begin);
}

void vl_client_codec_sent(vl_client_codec *codec, size_t size) {
  struct codec *self = inner(codec);
  size_t waiting = (size_t)(self->output_end - self->output_begin);
  self->output_begin = (unsigned char)(self->output_begin + (size < waiting ? size : waiting));
}

static int fail(struct codec *codec, int code, const char *text) {
  codec->failure = code;
  return vli_fail(code, "%s", text);
}

/* The bytes behind a count, which are all there; null where they are not. */
static const unsigned char *counted(const unsigned char *fields, size_t size, uint64_t *count) {
  size_t width = vli_varint_get(fields, size, 8, count);
  if (width == 0 || *count > size - width) return NULL;
  return fields + width;
}

static int receive_relay_key(struct codec *codec, const unsigned char *fields, size_t size) {
  uint64_t count;
  const unsigned char *bytes = counted(fields, size, &count);
  unsigned char key[VL_PUBLIC_KEY_SIZE];
  if (!bytes || vli_public_key_read(key, bytes, (size_t)count)) {
    return fail(codec, VL_E_PROTOCOL, "no relay answers there: its public key is none");
  }
  if (codec->is_pinned && memcmp(key, codec->session.relay_key, sizeof key) != 0) {
    return fail(
        codec, VL_E_WRONG_RELAY_KEY,
        "the relay's key is not the expected one: another relay answers there, or this one has a new key");
  }
  memcpy(codec->session.relay_key, key, sizeof key);
  if (codec->is_resuming) {
    unsigned char id[VLI_VARINT_MAX];
    put(codec, CLIENT_ID, id, vli_varint_put(id, codec->session.client_id));
    codec->state = AWAITING_CHALLENGE;
  } else {
    codec->state = AWAITING_ID;
  }
  return VL_OK;
}

static int receive_challenge(struct codec *codec, const unsigned char *fields, size_t size) {
  uint64_t count;
  const unsigned char *challenge = counted(fields, size, &count);
  unsigned char plain[VLI_CHALLENGE_SIZE], nonce[VLI_NONCE_SIZE], response[VLI_BOX_SIZE];
  if (!challenge || count != VLI_BOX_SIZE) {
    return fail(codec, VL_E_PROTOCOL, "no relay answers there: its challenge cannot be read");
  }
  if (vli_box_open(plain, challenge, codec->session_key)) {
    return fail(
        codec, VL_E_INVALID_CHALLENGE,
        "the challenge cannot be opened: whoever answers does not hold the relay's secret key, or the session is "
        "another's");
  }
  vli_nonce_make(nonce, challenge + VLI_BOX_SIZE - VLI_NONCE_SIZE);
  vli_box_seal(response, plain, nonce, codec->session_key);
  put_counted(codec, CHALLENGE_RESPONSE, response, sizeof response);
  put(codec, PING, NULL, 0);
  codec->state = AWAITING_PING;
  return VL_OK;
}

/* Takes one whole packet of the handshake. */
static int receive(struct codec *codec, const unsigned char *packet, size_t size, vl_client_event *event) {
  uint64_t kind;
  size_t width = vli_varint_get(packet, size, 4, &kind);
  if (width == 0) return fail(codec, VL_E_PROTOCOL, "no relay answers there: a handshake packet cannot be read");
  const unsigned char *fields = packet + width;
  size -= width;
  if (codec->state == AWAITING_RELAY_KEY && kind == PUBLIC_KEY) return receive_relay_key(codec, fields, size);
  if (codec->state == AWAITING_CHALLENGE && kind == CHALLENGE) return receive_challenge(codec, fields, size);
  if (codec->state == AWAITING_ID && kind == CLIENT_ID) {
    if (vli_varint_get(fields, size, 8, &codec->session.client_id) == 0) {
      return fail(codec, VL_E_PROTOCOL, "no relay answers there: the client id cannot be read");
    }
  } else if (codec->state != AWAITING_PING || kind != PING) {
    return fail(codec, VL_E_PROTOCOL, "no relay answers there: a packet came out of turn in the handshake");
  }
  codec->state = READY;
  event->kind = VL_CLIENT_READY;
  return VL_OK;
}

int vl_client_codec_read(
    vl_client_codec *codec, const void *bytes, size_t size, size_t *used, vl_client_event *event) {
  struct codec *self = inner(codec);
  const unsigned char *input = bytes;
  *used = 0;
  memset(event, 0, sizeof *event);
  if (self->failure) return self->failure;
  for (;;) {
    size_t data_size = 0;
    size_t maximum = self->state == READY ? self->max_packet_size : HANDSHAKE_PACKET;
    switch (vli_frame_look(input + *used, size - *used, maximum, &data_size, &event->needed)) {
      case VLI_FRAME_PARTIAL:
        event->kind = VL_CLIENT_MORE;
        return VL_OK;
      case VLI_FRAME_OVERSIZED:
        return fail(
            self, VL_E_PROTOCOL,
            self->state == READY ? "the relay sent a packet above the maximum"
                                 : "no relay answers there: a handshake packet is too large");
      case VLI_FRAME_WHOLE:
        break;
    }
    const unsigned char *packet = input + *used + VL_PACKET_HEADER_SIZE;
    *used += VL_PACKET_HEADER_SIZE + data_size;
    if (self->state == READY) {
      event->kind = VL_CLIENT_PACKET;
      event->data = packet;
      event->size = data_size;
      return VL_OK;
    }
    int failure = receive(self, packet, data_size, event);
    if (failure || event->kind == VL_CLIENT_READY) return failure;
  }
}

int vl_client_codec_end(const vl_client_codec *codec, int orderly, size_t unread) {
  const struct codec *self = inner_const(codec);
  int is_whole = orderly && unread == 0;
  if (self->failure) return self->failure;
  switch (self->state) {
    case AWAITING_RELAY_KEY:
    case AWAITING_ID:
      return vli_fail(
          VL_E_CLOSED_DURING_HANDSHAKE,
          "the relay ended the connection during the handshake: it is full, refuses this address, is being stopped, or "
          "has lost its backend");
    case AWAITING_CHALLENGE:
      if (is_whole) return vli_fail(VL_E_SESSION_OVER, "the relay has no such session any more");
      /* fallthrough */
    case AWAITING_PING:
      return vli_fail(VL_E_REFUSED, "the relay did not let this client come back this time");
    default:
      if (is_whole) return vli_fail(VL_E_CLOSED_BY_RELAY, "the relay closed the connection");
      return vli_fail(VL_E_CONNECTION_LOST, "the connection was lost");
  }
}

void vl_client_codec_session(const vl_client_codec *codec, vl_session *session) {
  *session = inner_const(codec)->session;
}

void vl_client_codec_wipe(vl_client_codec *codec) {
  vli_wipe(codec, sizeof *codec);
}

void vl_put_packet_header(unsigned char header[VL_PACKET_HEADER_SIZE], size_t size) {
  vli_put32(header, (uint32_t)size);
}
