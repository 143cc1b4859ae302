/* Sessions as text: what is read is what would be written, but for the case of its digits. */
#include <ctype.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char text[VL_SESSION_TEXT_SIZE + 1];
  vl_session session;
  char *exact = malloc(size ? size : 1);
  memcpy(exact, data, size);
  if (vl_session_parse(&session, exact, size) == VL_OK) {
    vl_session_format(&session, text);
    REQUIRE(strlen(text) == VL_SESSION_TEXT_SIZE && size == VL_SESSION_TEXT_SIZE);
    for (size_t i = 0; i < size; i++) REQUIRE(tolower((unsigned char)exact[i]) == text[i]);
  }
  free(exact);
  return 0;
}
