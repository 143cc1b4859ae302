/* The text of the calling thread's last failure. */
#ifndef VLI_ERROR_H
#define VLI_ERROR_H

#include <voltlane/base.h>

/* Notes what failed, and returns `code`. */
int vli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the system's words for `error` behind the text. */
int vli_fail_system(int code, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
