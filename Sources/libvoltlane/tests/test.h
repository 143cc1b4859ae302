/* The least that tests need. A test is a function; a check that fails says where, and ends the program. */
#ifndef TEST_H
#define TEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <voltlane/voltlane.h>

#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) {                                                                               \
      fprintf(stderr, "%s:%d: %s: not so: %s (%s)\n", __FILE__, __LINE__, __func__, #condition, vl_error_text()); \
      exit(1);                                                                                        \
    }                                                                                                 \
  } while (0)

#define CHECK_EQUAL(left, right)                                                                          \
  do {                                                                                                    \
    long long left_value = (long long)(left), right_value = (long long)(right);                           \
    if (left_value != right_value) {                                                                      \
      fprintf(                                                                                            \
          stderr, "%s:%d: %s: %s is %lld, and not %s, %lld (%s)\n", __FILE__, __LINE__, __func__, #left, left_value, \
          #right, right_value, vl_error_text());                                                          \
      exit(1);                                                                                            \
    }                                                                                                     \
  } while (0)

/* Runs a test. A test that hangs is ended by the alarm. */
#define RUN(test)                                \
  do {                                           \
    alarm(300);                                  \
    test();                                      \
    tests_run++;                                 \
  } while (0)

static int tests_run;

#define TESTS_DONE()                                            \
  do {                                                          \
    printf("%s: %d tests passed\n", __FILE__, tests_run);       \
    return 0;                                                   \
  } while (0)

/* Randomised tests print it where they fail; SEED in the environment repeats a run. */
static inline unsigned test_seed(void) {
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid() * 2654435761u;
  fprintf(stderr, "seed %u\n", seed);
  return seed;
}

static inline unsigned test_random(unsigned *state, unsigned below) {
  *state = *state * 1664525u + 1013904223u;
  return (*state >> 8) % below;
}

/* Bytes by which one packet is told from another. */
static inline void fill(unsigned char *bytes, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i % 251 + seed);
}

static inline bool is_filled(const unsigned char *bytes, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != (unsigned char)(i % 251 + seed)) return false;
  }
  return true;
}

#endif
