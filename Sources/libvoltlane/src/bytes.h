/* Little-endian integers, wherever they lie. */
#ifndef VLI_BYTES_H
#define VLI_BYTES_H

#include <stdint.h>

static inline uint16_t vli_get16(const unsigned char *bytes) {
  return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t vli_get32(const unsigned char *bytes) {
  return (uint32_t)vli_get16(bytes) | (uint32_t)vli_get16(bytes + 2) << 16;
}

static inline uint64_t vli_get64(const unsigned char *bytes) {
  return (uint64_t)vli_get32(bytes) | (uint64_t)vli_get32(bytes + 4) << 32;
}

static inline void vli_put32(unsigned char *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(value >> (8 * i));
}

static inline void vli_put64(unsigned char *bytes, uint64_t value) {
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(value >> (8 * i));
}

#endif
