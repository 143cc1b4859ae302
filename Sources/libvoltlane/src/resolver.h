/* Names to socket addresses, without blocking: by a thread, which lives on by itself where it is not waited for. */
#ifndef VLI_RESOLVER_H
#define VLI_RESOLVER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "address.h"

/* More than a name has in practice; further ones are not tried. */
#define VLI_SOCKET_ADDRESSES 16

struct vli_socket_address {
  struct sockaddr_storage storage;
  socklen_t size;
};

struct vli_socket_addresses {
  struct vli_socket_address list[VLI_SOCKET_ADDRESSES];
  size_t count;
};

struct vli_resolver;

/* Begins to resolve. Where no name has to be looked up, `*resolver` is null and the result is there at once. Else the
 * resolver's descriptor becomes readable. */
int vli_resolver_start(
    struct vli_resolver **resolver, const struct vli_address *address, struct vli_socket_addresses *result);

int vli_resolver_descriptor(const struct vli_resolver *resolver);

/* Whether it is done; then `*failure` says how, and, where that is VL_OK, `*result` is filled. */
bool vli_resolver_finish(struct vli_resolver *resolver, int *failure, struct vli_socket_addresses *result);

/* Gives it up or away; null is allowed. */
void vli_resolver_free(struct vli_resolver *resolver);

#endif
