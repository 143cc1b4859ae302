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

// How lines look: one object of JSON each, and with the priority in front that the journal reads. Set once, before the
// log begins.
void line_set_form(bool is_json, bool has_priorities);

// The levels that lines of this program in C have; the numbers are syslog's.
enum level { LEVEL_CRITICAL = 2, LEVEL_ERROR = 3, LEVEL_WARNING = 4 };

// A line that is put together in memory of fixed size; what does not fit is cut off.
struct line {
  size_t count;
  // In JSON, the text that is added belongs into quotes that are open.
  bool is_quoted, has_fields;
  char bytes[2000];
};
void line_add(struct line *line, const char *text);
void line_add_number(struct line *line, unsigned long number, unsigned base, int digits);
// The time and the level, as the lines of the log begin; the message follows.
void line_begin(struct line *line, enum level level);
// Ends the message, or the field before, and begins a field of this name.
void line_begin_field(struct line *line, const char *name);
// The same with a number as its value.
void line_add_count(struct line *line, const char *name, unsigned long count);
void line_end(struct line *line);
// Adds others' bytes, as far as they are text, up to the end of their line. Returns how many bytes that took.
size_t line_add_foreign(struct line *line, const char *bytes, size_t count);
