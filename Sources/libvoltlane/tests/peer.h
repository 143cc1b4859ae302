/* What the two interop peers share: see Tests/Interop/README.md. They use the public interface alone. */
#ifndef PEER_H
#define PEER_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <voltlane/voltlane.h>

/* A line of a command has at most a packet in hexadecimal in it, or many ids. */
#define LINE_SIZE (4u << 20)

/* The CRC-32 of zlib. */
static inline uint32_t crc32_of(const unsigned char *bytes, size_t size) {
  static uint32_t table[256];
  if (!table[1]) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
      table[i] = value;
    }
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
  return ~crc;
}

static inline void reply(const char *text) {
  puts(text);
  fflush(stdout);
}

static inline const char *word(int failure) {
  switch (failure) {
    case VL_E_TIMEOUT: return "timeout";
    case VL_E_UNREACHABLE: return "unreachable";
    case VL_E_CLOSED_DURING_HANDSHAKE: return "closed-during-handshake";
    case VL_E_PROTOCOL: return "protocol";
    case VL_E_WRONG_RELAY_KEY: return "wrong-relay-key";
    case VL_E_SESSION_OVER: return "session-over";
    case VL_E_REFUSED: return "refused";
    case VL_E_INVALID_CHALLENGE: return "invalid-challenge";
    case VL_E_GAVE_UP: return "gave-up";
    case VL_E_INVALID_SESSION: return "invalid-session";
    case VL_E_CONNECTION_LOST: return "connection-lost";
    case VL_E_CLOSED_BY_RELAY: return "closed";
    case VL_E_CLOSED: return "closed";
    case VL_E_TOO_LARGE: return "too-large";
    case VL_E_NOT_CONNECTED: return "not-connected";
    default: return "other";
  }
}

static inline void reply_error(int failure) {
  printf("error %s %s\n", word(failure), vl_error_text());
  fflush(stdout);
}

static inline void reply_ok_or(int failure) {
  if (failure) {
    reply_error(failure);
  } else {
    reply("ok");
  }
}

/* The bytes of hex:... or gen:SIZE:SEED, to be freed; null where it is neither. */
static inline unsigned char *data_of(const char *text, size_t *size) {
  unsigned long count, seed;
  if (sscanf(text, "gen:%lu:%lu", &count, &seed) == 2) {
    unsigned char *bytes = malloc(count + 1);
    for (size_t i = 0; bytes && i < count; i++) bytes[i] = (unsigned char)(i % 251 + seed);
    *size = count;
    return bytes;
  }
  if (strncmp(text, "hex:", 4) != 0) return NULL;
  *size = strlen(text + 4) / 2;
  unsigned char *bytes = malloc(*size + 1);
  for (size_t i = 0; bytes && i < *size; i++) {
    unsigned value = 0;
    sscanf(text + 4 + 2 * i, "%2x", &value);
    bytes[i] = (unsigned char)value;
  }
  return bytes;
}

/* Cuts the next word off; empty at the end. */
static inline char *next_word(char **line) {
  char *word = *line, *space = strchr(word, ' ');
  if (space) {
    *space = 0;
    *line = space + 1;
  } else {
    *line = word + strlen(word);
  }
  return word;
}

#endif
