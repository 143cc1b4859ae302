/* The backend's codec against any bytes. What it gives out lies within the bytes that it was given, does not depend on
 * how they were cut, and tells of each packet once. */
#include "bytes.h"
#include "fuzz.h"

static uint64_t run(const unsigned char *bytes, size_t size, size_t step, size_t *packets) {
  unsigned char *held = malloc(size + 1);
  size_t filled = 0, at = 0;
  uint64_t state = 1469598103934665603u;
  int announced = 0;
  vl_backend_codec codec;
  vl_backend_codec_init(&codec, 500);
  *packets = 0;
  for (;;) {
    vl_backend_event event;
    size_t used;
    unsigned char *exact = malloc(filled ? filled : 1);
    memcpy(exact, held, filled);
    int failure = vl_backend_codec_read(&codec, exact, filled, &used, &event);
    REQUIRE(used <= filled);
    if (!failure && event.kind != VL_BACKEND_MORE) {
      REQUIRE(event.kind >= VL_BACKEND_DATA && event.kind <= VL_BACKEND_SKIPPED);
      digest_number(&state, (uint64_t)event.kind);
      digest_number(&state, event.client_id);
      digest(&state, &event.address.bytes, sizeof event.address.bytes);
      digest_number(&state, event.address.port);
      if (event.data) {
        REQUIRE(event.data >= exact && event.data + event.size <= exact + used && event.size <= 500);
        digest(&state, event.data, event.size);
      }
      if (event.kind == VL_BACKEND_ANNOUNCED) {
        REQUIRE(!announced && used == 0);
        announced = 1;
      } else {
        REQUIRE(used >= 4);
        ++*packets;
      }
    }
    free(exact);
    filled -= used;
    memmove(held, held + used, filled);
    if (failure) {
      digest_number(&state, (uint64_t)failure);
      break;
    }
    if (event.kind != VL_BACKEND_MORE) continue;
    REQUIRE(event.needed > filled && event.needed <= 4 + 509);
    if (at == size) break;
    size_t count = size - at < step ? size - at : step;
    memcpy(held + filled, bytes + at, count);
    filled += count;
    at += count;
  }
  free(held);
  return state;
}

/* How many packets there are, by the sizes alone. */
static size_t count_packets(const unsigned char *bytes, size_t size) {
  size_t count = 0;
  for (size_t at = 0; size - at >= 4; count++) {
    size_t declared = vli_get32(bytes + at);
    if (declared > 509 || size - at - 4 < declared) break;
    at += 4 + declared;
  }
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t whole, cut;
  if (size < 1 || size > 4096) return 0;
  REQUIRE(run(data + 1, size - 1, size, &whole) == run(data + 1, size - 1, 1 + data[0] % 64, &cut));
  REQUIRE(whole == cut && whole == count_packets(data + 1, size - 1));
  return 0;
}
