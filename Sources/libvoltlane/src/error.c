#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* More than any text with an address in it; what is longer is cut. Memory of the thread: nothing to free or to leak. */
static _Thread_local char text[512];

int vli_fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return code;
}

int vli_fail_system(int code, int error, const char *format, ...) {
  char words[128];
  va_list arguments;
  va_start(arguments, format);
  int count = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  /* The GNU strerror_r returns where the words are, which need not be in the buffer. */
  const char *reason = strerror_r(error, words, sizeof words);
  if (count >= 0 && (size_t)count < sizeof text) {
    snprintf(text + count, sizeof text - (size_t)count, ": %s", reason);
  }
  return code;
}

const char *vl_error_text(void) {
  return text;
}

const char *vl_strerror(int code) {
  switch (code) {
    case VL_OK: return "success";
    case VL_E_TIMEOUT: return "not done within the time given";
    case VL_E_ARGUMENT: return "an argument is not allowed";
    case VL_E_MEMORY: return "out of memory";
    case VL_E_SYSTEM: return "the system refused something";
    case VL_E_UNREACHABLE: return "the address cannot be used";
    case VL_E_CLOSED_DURING_HANDSHAKE: return "the relay refused the connection";
    case VL_E_PROTOCOL: return "the other side breaks the protocol";
    case VL_E_WRONG_RELAY_KEY: return "the relay has another key";
    case VL_E_SESSION_OVER: return "the session is over";
    case VL_E_REFUSED: return "the relay did not let the client come back this time";
    case VL_E_INVALID_CHALLENGE: return "the challenge cannot be opened";
    case VL_E_SESSION_SHARED: return "another client has the same session";
    case VL_E_GAVE_UP: return "the time for coming back has passed";
    case VL_E_INVALID_SESSION: return "no valid session";
    case VL_E_IN_USE: return "the session is in use by another process";
    case VL_E_CONNECTION_LOST: return "the connection was lost";
    case VL_E_CLOSED_BY_RELAY: return "the relay closed the connection";
    case VL_E_CLOSED: return "closed";
    case VL_E_TOO_LARGE: return "the packet is too large";
    case VL_E_NOT_CONNECTED: return "no relay is connected";
    default: return "an unknown error";
  }
}

const char *vl_version(void) {
  return VL_VERSION;
}
