#define _GNU_SOURCE
#include "line.h"
#include <string.h>
#include <time.h>

void line_add(struct line *line, const char *text) {
  while (*text && line->count < sizeof line->bytes - 1) line->bytes[line->count++] = *text++;
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
  line_add(line, text + index);
}

void line_begin(struct line *line, const char *level) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  // gmtime_r takes a lock, which the crashing thread may hold. Days since 0000-03-01, in eras of 400 years.
  unsigned long days = (unsigned long)now.tv_sec / 86400 + 719468, seconds = (unsigned long)now.tv_sec % 86400;
  unsigned long era = days / 146097, day_of_era = days % 146097;
  unsigned long year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned long day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned long month_from_march = (5 * day_of_year + 2) / 153;
  unsigned long month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  line->count = 0;
  line_add_number(line, year_of_era + era * 400 + (month <= 2), 10, 4);
  line_add(line, "-");
  line_add_number(line, month, 10, 2);
  line_add(line, "-");
  line_add_number(line, day_of_year - (153 * month_from_march + 2) / 5 + 1, 10, 2);
  line_add(line, "T");
  line_add_number(line, seconds / 3600, 10, 2);
  line_add(line, ":");
  line_add_number(line, seconds / 60 % 60, 10, 2);
  line_add(line, ":");
  line_add_number(line, seconds % 60, 10, 2);
  line_add(line, ".");
  line_add_number(line, (unsigned long)now.tv_nsec / 1000000, 10, 3);
  line_add(line, "Z ");
  line_add(line, level);
  line_add(line, " ");
}

void line_end(struct line *line) { line->bytes[line->count++] = '\n'; }

size_t line_add_foreign(struct line *line, const char *bytes, size_t count) {
  for (size_t index = 0; index < count; index++) {
    if (bytes[index] == '\n') return index + 1;
    char text[2] = {bytes[index], 0};
    // Bytes from 128 on may be characters; the others below the space could make a line look like several.
    if (text[0] != 0x7f && (text[0] < 0 || text[0] >= ' ')) line_add(line, text);
  }
  return count;
}
