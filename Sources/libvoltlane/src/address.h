/* host:port, [v6 address]:port and unix:/path. */
#ifndef VLI_ADDRESS_H
#define VLI_ADDRESS_H

#include <stdbool.h>
#include <voltlane/base.h>

/* A host name has at most 253 characters, and the path of a unix socket 107. */
#define VLI_HOST_MAX 255

struct vli_address {
  bool is_unix;
  /* Or the path. */
  char host[VLI_HOST_MAX + 1];
  char port[6];
};

/* VL_E_ARGUMENT where it cannot be read. */
int vli_address_parse(struct vli_address *address, const char *text);

#endif
