/* Sockets and clocks. All sockets are non-blocking and not inherited. */
#ifndef VLI_NET_H
#define VLI_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver.h"

/* Milliseconds of a clock that never jumps. */
int64_t vli_now(void);

/* When `timeout` from now has passed; INT64_MAX where it never does. */
int64_t vli_deadline(int timeout);
#define VLI_NEVER INT64_MAX

/* Begins to connect; -1 with errno. */
int vli_connect(const struct vli_socket_address *address, int dead_after);

/* 0: connected; EINPROGRESS; else why not. */
int vli_connect_result(int socket);

/* Whether TCP connected it to itself, as it can where nobody listens on a port that the kernel hands out. */
bool vli_is_own_peer(int socket);

int vli_listen(const struct vli_socket_address *address, int *error);

/* Takes one connection; -1 with errno. */
int vli_accept(int listener, int dead_after);

/* Closes; first says that nothing more comes and throws away what is unread: closing over unread bytes would reset the
 * connection, and lose what is on its way to the other side. */
void vli_hang_up(int socket);

#endif
