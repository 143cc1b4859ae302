/* The handshake's integers: a value below 251 is that one byte, else 251, 252 or 253 and a u16, u32 or u64. */
#ifndef VLI_VARINT_H
#define VLI_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define VLI_VARINT_MAX 9u

/* Writes the shortest form; returns its size. */
size_t vli_varint_put(unsigned char bytes[VLI_VARINT_MAX], uint64_t value);

/* Reads one, of at most `widest` bytes of integer (4 or 8), in any form. Returns how many bytes it took; 0: none that
 * can be read is there. */
size_t vli_varint_get(const unsigned char *bytes, size_t size, size_t widest, uint64_t *value);

#endif
