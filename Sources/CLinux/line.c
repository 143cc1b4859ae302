#define _GNU_SOURCE
#include "line.h"
#include <string.h>
#include <time.h>

static bool is_json, has_priorities;

void line_set_form(bool json, bool priorities) {
  is_json = json;
  has_priorities = priorities;
}

// What every line ends with, for which there is always room.
enum { ENDING = sizeof "\"}\n" - 1 };

// A whole character or escape, or nothing of it.
static void put(struct line *line, const char *bytes, size_t count) {
  if (count > sizeof line->bytes - ENDING - line->count) return;
  memcpy(line->bytes + line->count, bytes, count);
  line->count += count;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

// A character of the message or of a field.
static void add_character(struct line *line, const char *bytes, size_t count) {
  if (is_json && (*bytes == '"' || *bytes == '\\')) {
    char escaped[2] = {'\\', *bytes};
    put(line, escaped, sizeof escaped);
  } else {
    put(line, bytes, count);
  }
}

void line_add(struct line *line, const char *text) {
  for (; *text; text++) add_character(line, text, 1);
}

void line_add_number(struct line *line, unsigned long number, unsigned base, int digits) {
  char text[24];
  int index = sizeof text - 1;
  text[index] = 0;
  do {
    text[--index] = "0123456789abcdef"[number % base];
    number /= base;
    digits--;
  } while (number || digits > 0);
  put_text(line, text + index);
}

static void put_time(struct line *line) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  // gmtime_r takes a lock, which the crashing thread may hold. Days since 0000-03-01, in eras of 400 years.
  unsigned long days = (unsigned long)now.tv_sec / 86400 + 719468, seconds = (unsigned long)now.tv_sec % 86400;
  unsigned long era = days / 146097, day_of_era = days % 146097;
  unsigned long year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned long day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned long month_from_march = (5 * day_of_year + 2) / 153;
  unsigned long month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  line_add_number(line, year_of_era + era * 400 + (month <= 2), 10, 4);
  put_text(line, "-");
  line_add_number(line, month, 10, 2);
  put_text(line, "-");
  line_add_number(line, day_of_year - (153 * month_from_march + 2) / 5 + 1, 10, 2);
  put_text(line, "T");
  line_add_number(line, seconds / 3600, 10, 2);
  put_text(line, ":");
  line_add_number(line, seconds / 60 % 60, 10, 2);
  put_text(line, ":");
  line_add_number(line, seconds % 60, 10, 2);
  put_text(line, ".");
  line_add_number(line, (unsigned long)now.tv_nsec / 1000000, 10, 3);
  put_text(line, "Z");
}

static const char *name_of(enum level level) {
  switch (level) {
  case LEVEL_CRITICAL: return "critical";
  case LEVEL_ERROR: return "error";
  default: return "warning";
  }
}

void line_begin(struct line *line, enum level level) {
  line->count = 0;
  line->has_fields = false;
  line->is_quoted = is_json;
  if (has_priorities) {
    put_text(line, "<");
    line_add_number(line, level, 10, 1);
    put_text(line, ">");
  }
  if (is_json) put_text(line, "{\"time\":\"");
  put_time(line);
  put_text(line, is_json ? "\",\"level\":\"" : " ");
  put_text(line, name_of(level));
  if (is_json) {
    put_text(line, "\",\"message\":\"");
  } else {
    // In columns, of the width of the longest.
    for (size_t width = strlen(name_of(level)); width < sizeof "critical"; width++) put_text(line, " ");
  }
}

static void begin_field(struct line *line, const char *name, bool is_quoted) {
  if (is_json) {
    put_text(line, line->is_quoted ? "\",\"" : ",\"");
    put_text(line, name);
    put_text(line, is_quoted ? "\":\"" : "\":");
    line->is_quoted = is_quoted;
  } else {
    put_text(line, line->has_fields ? " " : "  ");
    put_text(line, name);
    put_text(line, "=");
  }
  line->has_fields = true;
}

void line_begin_field(struct line *line, const char *name) { begin_field(line, name, true); }

void line_add_count(struct line *line, const char *name, unsigned long count) {
  begin_field(line, name, false);
  line_add_number(line, count, 10, 1);
}

void line_end(struct line *line) {
  if (is_json && line->is_quoted) line->bytes[line->count++] = '"';
  if (is_json) line->bytes[line->count++] = '}';
  line->bytes[line->count++] = '\n';
}

// The bytes of the UTF-8 character that begins here; 0 if there is none.
static size_t character(const char *bytes, size_t count) {
  const unsigned char *byte = (const unsigned char *)bytes;
  if (byte[0] < 0x80) return 1;
  if (byte[0] < 0xc2 || byte[0] > 0xf4) return 0;
  size_t length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
  if (length > count) return 0;
  for (size_t index = 1; index < length; index++)
    if ((byte[index] & 0xc0) != 0x80) return 0;
  // Longer than it has to be, half of a surrogate pair, or beyond the last character.
  if (byte[0] == 0xe0 && byte[1] < 0xa0) return 0;
  if (byte[0] == 0xed && byte[1] > 0x9f) return 0;
  if (byte[0] == 0xf0 && byte[1] < 0x90) return 0;
  if (byte[0] == 0xf4 && byte[1] > 0x8f) return 0;
  return length;
}

// Whether a character does something to a line instead of being seen in it, as in UnseenCharacters.swift.
static bool is_unseen(const char *bytes, size_t length) {
  static const unsigned ranges[][2] = {
    {0, 0x1f},         {0x7f, 0x9f},     {0xad, 0xad},     {0x600, 0x605},    {0x61c, 0x61c},    {0x6dd, 0x6dd},
    {0x70f, 0x70f},    {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},  {0xfeff, 0xfeff},
    {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
  };
  const unsigned char *byte = (const unsigned char *)bytes;
  unsigned code = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
  for (size_t index = 1; index < length; index++) code = code << 6 | (byte[index] & 0x3f);
  for (size_t index = 0; index < sizeof ranges / sizeof *ranges; index++)
    if (ranges[index][0] <= code && code <= ranges[index][1]) return true;
  return false;
}

size_t line_add_foreign(struct line *line, const char *bytes, size_t count) {
  for (size_t index = 0; index < count;) {
    if (bytes[index] == '\n') return index + 1;
    size_t length = character(bytes + index, count - index);
    if (length == 0) {
      // JSON has nothing but characters. In text, whoever reads it sees what was written.
      if (is_json) put_text(line, "\xef\xbf\xbd");
      else put(line, bytes + index, 1);
      index++;
      continue;
    }
    // They could make a line look like several, or like another.
    if (!is_unseen(bytes + index, length)) add_character(line, bytes + index, length);
    index += length;
  }
  return count;
}
