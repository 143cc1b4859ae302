/* Size-prefixed packets, as they lie in a buffer. */
#ifndef VLI_FRAME_H
#define VLI_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

enum vli_frame { VLI_FRAME_WHOLE, VLI_FRAME_PARTIAL, VLI_FRAME_OVERSIZED };

/* Looks at the front of `bytes`. `*data_size`: of a whole packet, its size without the four bytes before it.
 * `*needed`: of a partial one, how many bytes it has, or must at least be there to know. */
static inline enum vli_frame vli_frame_look(
    const unsigned char *bytes, size_t size, size_t maximum, size_t *data_size, size_t *needed) {
  if (!bytes || size < 4) {
    *needed = 4;
    return VLI_FRAME_PARTIAL;
  }
  size_t declared = vli_get32(bytes);
  if (declared > maximum) return VLI_FRAME_OVERSIZED;
  if (size - 4 < declared) {
    *needed = 4 + declared;
    return VLI_FRAME_PARTIAL;
  }
  *data_size = declared;
  return VLI_FRAME_WHOLE;
}

#endif
