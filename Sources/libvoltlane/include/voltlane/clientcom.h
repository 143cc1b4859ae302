/* For programs written for the earlier C client of Voltlane relays: they compile and run unchanged with this header and
 * libvoltlane. New programs use client.h.
 *
 * What is better than it was: a packet stays as it is until the next receive, whatever its size; no error text leaks;
 * one thread may receive while others send; a connection whose network is gone fails instead of blocking for ever; and
 * there are the two functions at the end. */
#ifndef VOLTLANE_CLIENTCOM_H
#define VOLTLANE_CLIENTCOM_H

#include <voltlane/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void vl_connection;

/* A packet; `data` is null where receiving failed. Borrowed: it is good until the next receive on the connection. */
typedef struct vl_message {
  char *data;
  unsigned long long size;
} vl_message;

/* Connects to a relay at host:port as a new client. Null on failure; else free it with vl_connection_free(). */
VL_API vl_connection *vl_connection_new(const char *address);

/* Closes and frees; null is allowed. */
VL_API void vl_connection_free(vl_connection *connection);

/* Waits for a packet. */
VL_API vl_message vl_connection_recv(vl_connection *connection);

/* Sends a packet; the bytes are copied. 0, or -1 on failure. */
VL_API int vl_connection_send(vl_connection *connection, const char *data, size_t size);

/* Goes on with the same session on a new socket. 0, or -1 on failure: it may be called again. */
VL_API int vl_connection_reconnect(vl_connection *connection);

/* What failed last in the calling thread. It belongs to the library, and is good until the next failure there. */
VL_API const char *vl_get_last_error(void);

/* Not in the earlier client: the id of this connection's session. */
VL_API unsigned long long vl_connection_id(vl_connection *connection);

/* Not in the earlier client: how long receiving, sending and reconnecting may wait from now on, in milliseconds;
 * negative, as at the start: as long as it takes. Set it before other threads use the connection. */
VL_API void vl_connection_set_timeout(vl_connection *connection, int timeout);

#ifdef __cplusplus
}
#endif

#endif
