// What log.c and crash.c share. The functions here are safe in a signal handler.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Where the log goes, before it has begun and after.
int log_destination(void);

// Lines are queued that have not been written yet.
bool log_is_behind(void);

// What others have written to standard error and the log has not taken yet. Returns the number of bytes.
size_t log_take_foreign(char *bytes, size_t capacity);

// A line that is put together in memory of fixed size; what does not fit is cut off.
struct line {
  size_t count;
  char bytes[2000];
};
void line_add(struct line *line, const char *text);
void line_add_number(struct line *line, unsigned long number, unsigned base, int digits);
// The time and the level, as the lines of the log begin; `level` has 8 characters.
void line_begin(struct line *line, const char *level);
void line_end(struct line *line);
// Adds others' bytes, as far as they are text, up to the end of their line. Returns how many bytes that took.
size_t line_add_foreign(struct line *line, const char *bytes, size_t count);
