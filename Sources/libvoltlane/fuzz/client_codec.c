/* The client's codec against whatever a relay might send: any bytes, after nothing, after a good key, or after a whole
 * good handshake. What it gives out lies within the bytes that it was given, and does not depend on how they were
 * cut. */
#include "crypto.h"
#include "fuzz.h"

#define MOST 8192

static vl_session session = {.client_id = 7};
static unsigned char relay_key_packet[39] = {35, 0, 0, 0, 2, 33};
static unsigned char challenge_packet[78] = {74, 0, 0, 0, 4, 72};
static const unsigned char id_packet[] = {2, 0, 0, 0, 3, 7};
static const unsigned char ping_packet[] = {1, 0, 0, 0, 0};

static void prepare(void) {
  unsigned char relay_secret[32], key[32], plain[32] = {5}, nonce[24] = {6};
  if (session.secret_key[0]) return;
  REQUIRE(vli_crypto_start() == VL_OK);
  memset(session.secret_key, 1, 32);
  memset(relay_secret, 2, 32);
  REQUIRE(vli_public_key(session.relay_key, relay_secret) == VL_OK);
  memcpy(relay_key_packet + 6, session.relay_key, 33);
  REQUIRE(vli_session_key(key, session.secret_key, session.relay_key) == VL_OK);
  vli_box_seal(challenge_packet + 6, plain, nonce, key);
}

/* Feeds the bytes in pieces of `step`; gives a digest of all that came of it. */
static uint64_t run(const unsigned char *bytes, size_t size, size_t step, int resumes) {
  /* Of the size that is filled, so that a read behind it is seen. */
  unsigned char *held = malloc(size + 1);
  size_t filled = 0, at = 0, output_sum = 0;
  uint64_t state = 1469598103934665603u;
  vl_client_codec codec;
  REQUIRE((resumes ? vl_client_codec_init_resume(&codec, &session, 1000)
                   : vl_client_codec_init(&codec, session.secret_key, NULL, 1000)) == VL_OK);
  for (;;) {
    vl_client_event event;
    size_t used;
    unsigned char *exact = malloc(filled + 1);
    memcpy(exact, held, filled);
    exact = realloc(exact, filled ? filled : 1);
    int failure = vl_client_codec_read(&codec, exact, filled, &used, &event);
    REQUIRE(used <= filled);
    const unsigned char *output;
    size_t output_size = vl_client_codec_output(&codec, &output);
    REQUIRE(output_size <= 128);
    output_sum += output_size;
    vl_client_codec_sent(&codec, output_size);
    if (failure) {
      digest_number(&state, (uint64_t)failure);
      REQUIRE(vl_client_codec_end(&codec, 1, 0) == failure);
      free(exact);
      break;
    }
    if (event.kind == VL_CLIENT_PACKET) {
      REQUIRE(event.data >= exact && event.data + event.size <= exact + filled && event.size <= 1000);
      digest(&state, event.data, event.size);
    }
    if (event.kind != VL_CLIENT_MORE) digest_number(&state, (uint64_t)event.kind);
    free(exact);
    filled -= used;
    memmove(held, held + used, filled);
    if (event.kind != VL_CLIENT_MORE) continue;
    REQUIRE(event.needed > filled && event.needed <= 1004);
    if (at == size) break;
    size_t count = size - at < step ? size - at : step;
    memcpy(held + filled, bytes + at, count);
    filled += count;
    at += count;
  }
  free(held);
  /* Where the output is taken depends on the pieces; how much it is does not. */
  digest_number(&state, output_sum);
  return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned char bytes[MOST];
  size_t filled = 0;
  if (size < 2 || size > 4096) return 0;
  prepare();
  int resumes = data[0] & 1;
  if (data[0] & 6) {
    memcpy(bytes, relay_key_packet, sizeof relay_key_packet);
    filled = sizeof relay_key_packet;
  }
  if (data[0] & 4) {
    const unsigned char *next = resumes ? challenge_packet : id_packet;
    size_t count = resumes ? sizeof challenge_packet : sizeof id_packet;
    memcpy(bytes + filled, next, count);
    filled += count;
    if (resumes) {
      memcpy(bytes + filled, ping_packet, sizeof ping_packet);
      filled += sizeof ping_packet;
    }
  }
  memcpy(bytes + filled, data + 2, size - 2);
  filled += size - 2;
  REQUIRE(run(bytes, filled, MOST, resumes) == run(bytes, filled, 1 + data[1] % 64, resumes));
  return 0;
}
