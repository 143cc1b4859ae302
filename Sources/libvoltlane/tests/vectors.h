/* The worked bytes of Tests/Vectors/vectors.json, by section and name. */
#ifndef VECTORS_H
#define VECTORS_H

#include "test.h"

#define VECTOR_MAX 256

struct vector {
  unsigned char bytes[VECTOR_MAX];
  size_t size;
};

static char *vectors_text(void) {
  static char *text;
  if (text) return text;
  const char *path = getenv("VECTORS");
  FILE *file = fopen(path ? path : "../../Tests/Vectors/vectors.json", "r");
  CHECK(file);
  text = calloc(1, 65536);
  CHECK(fread(text, 1, 65535, file) > 0);
  fclose(file);
  return text;
}

static inline struct vector hexadecimal(const char *text) {
  struct vector result = {.size = 0};
  unsigned value;
  for (; sscanf(text, "%2x", &value) == 1; text += 2) {
    CHECK(result.size < VECTOR_MAX);
    result.bytes[result.size++] = (unsigned char)value;
    if (text[2] == '"') break;
  }
  return result;
}

static inline struct vector vector(const char *section, const char *name) {
  char quoted[128];
  snprintf(quoted, sizeof quoted, "\"%s\": {", section);
  const char *at = strstr(vectors_text(), quoted);
  CHECK(at);
  snprintf(quoted, sizeof quoted, "\"%s\": \"", name);
  at = strstr(at, quoted);
  CHECK(at);
  at += strlen(quoted);
  return *at == '"' ? (struct vector){.size = 0} : hexadecimal(at);
}

static inline bool is_vector(const void *bytes, size_t size, struct vector expected) {
  return size == expected.size && memcmp(bytes, expected.bytes, size) == 0;
}

#endif
