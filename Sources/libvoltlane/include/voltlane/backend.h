/* The backend of a relay: it accepts the relay's connections, one after the other, and speaks with all of the relay's
 * clients over the current one.
 *
 *     vl_backend *backend;
 *     if (vl_backend_listen(&backend, "127.0.0.1:42001", NULL) != VL_OK) ...  // vl_error_text()
 *     vl_backend_event event;
 *     while (vl_backend_receive(backend, &event, -1) == VL_OK) {
 *       if (event.kind == VL_BACKEND_DATA) vl_backend_send(backend, event.client_id, event.data, event.size, -1);
 *     }
 *     vl_backend_free(backend);
 *
 * Which connection. One connection is read at a time, and everything is sent on it. A newcomer has to show one whole
 * valid packet before it replaces a connection (a port scanner or a stray HTTP request is dropped); the old one is then
 * read to its end, or given up when it has brought nothing for a second. Where there is no connection, a newcomer that
 * says nothing is taken after a fifth of a second. So a backend serves one relay.
 *
 * When a connection is lost the relay dials again, within seconds, and its clients stay. VL_BACKEND_DISCONNECTED and
 * VL_BACKEND_CONNECTED tell of it; then every session that is alive is named (VL_BACKEND_RECONNECTION), and
 * VL_BACKEND_ANNOUNCED says that the list is complete. What was queued for a connection that is lost is dropped.
 *
 * Threads. As with a client: any number of threads send while one receives. */
#ifndef VOLTLANE_BACKEND_H
#define VOLTLANE_BACKEND_H

#include <voltlane/base.h>
#include <voltlane/codec.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vl_backend vl_backend;

/* Start from VL_BACKEND_OPTIONS, which has every default. */
typedef struct vl_backend_options {
  size_t struct_size;
  /* The relay's --max-packet-size, in bytes, without the tag. */
  size_t max_packet_size;
  /* Sending waits while this many bytes wait to be sent; one packet always fits besides. */
  size_t send_limit;
  /* The connection is not read while this many bytes wait to be received. */
  size_t receive_limit;
  /* As in vl_client_options. */
  int dead_after;
  /* As in vl_client_options. */
  int coalesce;
  /* How long vl_backend_listen() may look up a name, in milliseconds; negative: for as long as it takes. */
  int lookup_timeout;
  /* How precisely the backend notices that nothing was read because its process was stopped, or nobody called
   * vl_backend_receive(), for vl_backend_event_age(): in milliseconds, at least 1. A receive that waits wakes up that
   * often; a program that polls by itself has to call vl_backend_process() that often. 0: it does not notice, and what
   * came meanwhile looks new. */
  int stop_resolution;
} vl_backend_options;

#define VL_BACKEND_OPTIONS \
  { sizeof(vl_backend_options), VL_MAX_PACKET_SIZE, 4 << 20, 4 << 20, 30000, 1, 10000, 0 }

/* Listens on `address`: host:port, [v6 address]:port or unix:/path. Port 0 takes a free one. The file of a unix socket
 * on which nobody listens any more is replaced. `options` may be null, and is copied. On VL_OK, `*backend` has to be
 * freed with vl_backend_free(); else it is null. VL_E_ARGUMENT, VL_E_UNREACHABLE (the address cannot be listened on),
 * VL_E_TIMEOUT (its name was not found within `lookup_timeout`), VL_E_MEMORY, VL_E_SYSTEM. */
VL_API int vl_backend_listen(vl_backend **backend, const char *address, const vl_backend_options *options);

/* Stops listening, closes every connection, and frees; null is allowed. What waits to be sent is dropped:
 * vl_backend_flush() first. */
VL_API void vl_backend_free(vl_backend *backend);

/* The TCP port that it listens on; 0 with a unix socket. */
VL_API int vl_backend_port(vl_backend *backend);

/* Waits for the next event: one of enum vl_backend_event_kind. Its `data` is borrowed, and good until the next
 * vl_backend_receive() or vl_backend_free() of this backend. VL_E_TIMEOUT, VL_E_CLOSED, VL_E_MEMORY. */
VL_API int vl_backend_receive(vl_backend *backend, vl_backend_event *event, int timeout);

/* How long ago, in milliseconds and at most, the event that vl_backend_receive() gave last had arrived. The kernel
 * receives while nobody reads: with `stop_resolution`, that time is in it, until a read finds the kernel empty. So a
 * backend that was stopped knows what is too old to be worth an answer. */
VL_API int64_t vl_backend_event_age(vl_backend *backend);

/* Sends a packet to a client; the bytes are copied. VL_OK: it is with the kernel, or queued where that took longer than
 * `timeout` or where packets are collected; what is queued leaves in later calls. For an id that is no session the
 * relay answers with VL_BACKEND_FAILURE, "unknown client". VL_E_TIMEOUT where as much as `send_limit` was queued for
 * all of `timeout`; VL_E_NOT_CONNECTED where no relay was connected for all of it: either way no byte was taken.
 * VL_E_TOO_LARGE, VL_E_CLOSED, VL_E_MEMORY. */
VL_API int vl_backend_send(vl_backend *backend, uint64_t client_id, const void *data, size_t size, int timeout);

/* The same for a packet that is worth nothing later, such as a position: it is dropped where the client is away or
 * slow, and never ends a session. Needs a relay with the extensions of the firehose. */
VL_API int vl_backend_send_volatile(
    vl_backend *backend, uint64_t client_id, const void *data, size_t size, int timeout);

/* Sends one packet to many clients: it crosses the firehose once for each VL_MULTICAST_IDS of them. `kind` is
 * VL_FLAG_DATA or VL_FLAG_VOLATILE. An id that stands twice gets it twice. Needs a relay with the extensions. With
 * more than VL_MULTICAST_IDS ids, an error means that the packet may have gone to the first of them. */
VL_API int vl_backend_multicast(
    vl_backend *backend, int kind, const uint64_t *client_ids, size_t id_count, const void *data, size_t size,
    int timeout);

/* Ends a client's session for good, after what was sent to it before. VL_BACKEND_FAILURE follows, "kicked". */
VL_API int vl_backend_kick(vl_backend *backend, uint64_t client_id, int timeout);

/* Waits until the kernel has everything that was sent; VL_E_NOT_CONNECTED where the connection was lost before. */
VL_API int vl_backend_flush(vl_backend *backend, int timeout);

/* Stops listening and closes every connection: every call that waits returns VL_E_CLOSED. May be called by any
 * thread. */
VL_API void vl_backend_close(vl_backend *backend);

/* What waits to be sent, in bytes. */
VL_API size_t vl_backend_unsent(vl_backend *backend);

/* How many connections were dropped because what they sent was nothing of a relay. */
VL_API unsigned long vl_backend_strays(vl_backend *backend);

/* For other event loops: readable whenever something is to be done. The same descriptor until vl_backend_free(), and
 * not to be read, written or closed. When it is, call vl_backend_receive() with a time of 0 until VL_E_TIMEOUT. */
VL_API int vl_backend_fd(vl_backend *backend);

/* Does what can be done without waiting: accepts, reads, writes. vl_backend_receive() does so too. */
VL_API int vl_backend_process(vl_backend *backend);

#ifdef __cplusplus
}
#endif

#endif
