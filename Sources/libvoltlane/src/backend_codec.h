/* What the backend over sockets needs to know of tagged packets besides their codec. */
#ifndef VLI_BACKEND_CODEC_H
#define VLI_BACKEND_CODEC_H

#include <stdbool.h>

/* Id and flag. */
#define VLI_TAG 9u

/* Whether a relay sends packets with this flag. */
bool vli_backend_flag_is_valid(unsigned char flag);

#endif
