// What log.c and crash.c share. Functions here are safe in a signal handler.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Where the log goes, until it has begun and after.
int log_destination(void);

// Lines are queued that were not written yet.
bool log_is_behind(void);

// What others have written to the standard error and the log has not taken yet. How many bytes.
size_t log_take_foreign(char *bytes, size_t capacity);

// A line that is put together in memory of fixed size; what does not fit is cut.
struct line {
  size_t count;
  char bytes[2000];
};
void line_add(struct line *line, const char *text);
void line_add_number(struct line *line, unsigned long number, unsigned base, int digits);
// The time and the level, as the lines of the log begin; `level` has 8 characters.
void line_begin(struct line *line, const char *level);
void line_end(struct line *line);
// Adds bytes of others, as far as they are text, up to the end of their line. How many bytes that took.
size_t line_add_foreign(struct line *line, const char *bytes, size_t count);
