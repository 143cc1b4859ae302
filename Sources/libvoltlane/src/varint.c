#include "varint.h"

#include "bytes.h"

size_t vli_varint_put(unsigned char bytes[VLI_VARINT_MAX], uint64_t value) {
  if (value < 251) {
    bytes[0] = (unsigned char)value;
    return 1;
  }
  if (value <= UINT16_MAX) {
    bytes[0] = 251;
    bytes[1] = (unsigned char)value;
    bytes[2] = (unsigned char)(value >> 8);
    return 3;
  }
  if (value <= UINT32_MAX) {
    bytes[0] = 252;
    vli_put32(bytes + 1, (uint32_t)value);
    return 5;
  }
  bytes[0] = 253;
  vli_put64(bytes + 1, value);
  return 9;
}

size_t vli_varint_get(const unsigned char *bytes, size_t size, size_t widest, uint64_t *value) {
  if (size == 0) return 0;
  if (bytes[0] < 251) {
    *value = bytes[0];
    return 1;
  }
  if (bytes[0] > 253) return 0;
  size_t width = (size_t)2 << (bytes[0] - 251);
  if (width > widest || size < 1 + width) return 0;
  *value = width == 2 ? vli_get16(bytes + 1) : width == 4 ? vli_get32(bytes + 1) : vli_get64(bytes + 1);
  return 1 + width;
}
