/* What the fuzzers share: a digest of what a codec gave out, so that two ways of feeding it can be compared. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <voltlane/codec.h>

#define REQUIRE(condition)      \
  do {                          \
    if (!(condition)) abort();  \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void digest(uint64_t *state, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) *state = (*state ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

static inline void digest_number(uint64_t *state, uint64_t number) {
  digest(state, &number, sizeof number);
}

#endif
