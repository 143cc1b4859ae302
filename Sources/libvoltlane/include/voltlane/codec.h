/* The protocol without I/O: bytes in, events and bytes out. No socket, no thread, no clock, no allocation: all memory
 * is the caller's. What other languages and other event loops bind to; for the rest there are client.h and backend.h.
 *
 * Both codecs read from the caller's buffer and keep nothing of it: a packet in an event is a place in that buffer.
 *
 *     for (;;) {
 *       size_t used;
 *       int failure = vl_client_codec_read(&codec, buffer, filled, &used, &event);
 *       if (failure) ...                      // drop the connection
 *       if (event.kind == VL_CLIENT_PACKET) ... // event.data, event.size: within buffer
 *       // drop `used` bytes at the front of the buffer
 *       if (event.kind == VL_CLIENT_MORE) ...   // read until event.needed bytes are there, or any more at least
 *     }
 *
 * Thread-safety: a codec is used by one thread at a time. Different codecs are independent. */
#ifndef VOLTLANE_CODEC_H
#define VOLTLANE_CODEC_H

#include <voltlane/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The client's side ---- */

/* A client's connection, from its first byte to its last. Opaque; lives wherever the caller puts it. It holds the
 * session's secret key: vl_client_codec_wipe() at the end. */
typedef struct vl_client_codec {
  uint64_t opaque[64];
} vl_client_codec;

enum vl_client_event_kind {
  /* The bytes end within a packet. `needed`: how many are needed from the first unused one on; at least 4. */
  VL_CLIENT_MORE = 0,
  /* The handshake is done: the session is known, and packets may be sent. Comes once. */
  VL_CLIENT_READY = 1,
  /* A packet of the relay: `data`, `size`. `data` is not null even where `size` is 0. */
  VL_CLIENT_PACKET = 2
};

typedef struct vl_client_event {
  int kind;
  const unsigned char *data;
  size_t size;
  size_t needed;
} vl_client_event;

/* Prepares a codec for a new client. `secret_key` (32 bytes) may be null: one is made. `relay_key` (33 bytes) is the
 * only key of a relay that is accepted; null: any. `max_packet_size` is the relay's; 0: VL_MAX_PACKET_SIZE.
 * VL_E_ARGUMENT where a key is none; VL_E_SYSTEM where the system has no randomness. */
VL_API int vl_client_codec_init(
    vl_client_codec *codec, const unsigned char *secret_key, const unsigned char *relay_key, size_t max_packet_size);

/* Prepares a codec for a client that comes back. VL_E_INVALID_SESSION where its keys are none. */
VL_API int vl_client_codec_init_resume(vl_client_codec *codec, const vl_session *session, size_t max_packet_size);

/* What has to be sent next: the handshake's bytes. Ask after init and after each read, send all of it before any
 * packet, and tell with vl_client_codec_sent() how much was sent. `*bytes` stays good until the next call. Returns how
 * many; 0: nothing. */
VL_API size_t vl_client_codec_output(const vl_client_codec *codec, const unsigned char **bytes);
VL_API void vl_client_codec_sent(vl_client_codec *codec, size_t size);

/* Takes bytes of the relay: up to the next event. `*used` of them are done with. Where a failure is returned
 * (VL_E_PROTOCOL, VL_E_WRONG_RELAY_KEY, VL_E_INVALID_CHALLENGE) the connection has to be dropped; it is returned
 * again from then on. */
VL_API int vl_client_codec_read(
    vl_client_codec *codec, const void *bytes, size_t size, size_t *used, vl_client_event *event);

/* What it means that the connection has ended now. `orderly`: the relay closed it (a FIN, no reset). `unread`: bytes
 * that no event was made of. VL_E_CLOSED_DURING_HANDSHAKE, VL_E_SESSION_OVER (believe it when two connections one after
 * the other say so: a proxy can say it by mistake), VL_E_REFUSED, VL_E_CLOSED_BY_RELAY or VL_E_CONNECTION_LOST. */
VL_API int vl_client_codec_end(const vl_client_codec *codec, int orderly, size_t unread);

/* The session; complete once VL_CLIENT_READY has come. */
VL_API void vl_client_codec_session(const vl_client_codec *codec, vl_session *session);

/* Overwrites all secrets. */
VL_API void vl_client_codec_wipe(vl_client_codec *codec);

#define VL_PACKET_HEADER_SIZE 4u

/* What stands before a packet of `size` bytes on the client link. */
VL_API void vl_put_packet_header(unsigned char header[VL_PACKET_HEADER_SIZE], size_t size);

/* ---- The backend's side ---- */

/* One firehose connection. Opaque; nothing in it has to be freed or wiped. */
typedef struct vl_backend_codec {
  uint64_t opaque[8];
} vl_backend_codec;

enum vl_backend_event_kind {
  /* The bytes end within a packet. `needed`, as with VL_CLIENT_MORE. Never comes from vl_backend_receive(). */
  VL_BACKEND_MORE = 0,
  /* A packet of a client: `client_id`, `data`, `size`. It may be empty. */
  VL_BACKEND_DATA = 1,
  /* The session is over; `data`, `size`: why, in UTF-8, not null-terminated. The last that is heard of it, save as
   * the answer `unknown client` to a packet for it. */
  VL_BACKEND_FAILURE = 2,
  /* The client is back on a new connection, or is announced on a new firehose. */
  VL_BACKEND_RECONNECTION = 3,
  /* The client has lost its connection; the relay waits for it. Only from a relay with --away on. */
  VL_BACKEND_AWAY = 4,
  /* Where the client connects from: `address`. Only from a relay with --addresses on. */
  VL_BACKEND_ADDRESS = 5,
  /* The list of sessions that are alive, with which every connection but a relay's first begins, is complete: a
   * session that was known and not named since has ended. Comes once a connection, before the first packet that
   * does not belong to the list. (A relay with --announce off names nobody.) */
  VL_BACKEND_ANNOUNCED = 6,
  /* A tagged packet that was skipped: too short, of an unknown flag or of the wrong direction. */
  VL_BACKEND_SKIPPED = 7,

  /* Only from vl_backend_receive(): */

  /* A connection of the relay is read from now on. `number`: 1 for the first, 2 for the second. */
  VL_BACKEND_CONNECTED = 8,
  /* Nothing more comes from it. `number`; `data`, `size`: why, in words. */
  VL_BACKEND_DISCONNECTED = 9
};

typedef struct vl_address {
  /* 4, 6, or 0 where it is unknown, as with unix sockets. */
  int family;
  /* 4, 16 or 0 bytes, in network order. */
  unsigned char bytes[16];
  uint16_t port;
} vl_address;

typedef struct vl_backend_event {
  int kind;
  uint64_t client_id;
  const unsigned char *data;
  size_t size;
  vl_address address;
  size_t needed;
  unsigned long number;
} vl_backend_event;

/* Prepares a codec for a connection that was just accepted. `max_packet_size` is the relay's, without the tag; 0:
 * VL_MAX_PACKET_SIZE. */
VL_API void vl_backend_codec_init(vl_backend_codec *codec, size_t max_packet_size);

/* Takes bytes of the relay: up to the next event. VL_E_PROTOCOL: a size above the maximum; the stream can no longer be
 * trusted, and the connection has to be dropped. */
VL_API int vl_backend_codec_read(
    vl_backend_codec *codec, const void *bytes, size_t size, size_t *used, vl_backend_event *event);

/* Flags of the packets that a backend sends. */
#define VL_FLAG_DATA 0x00
#define VL_FLAG_KICK 0x02
#define VL_FLAG_VOLATILE 0x05
#define VL_FLAG_MULTICAST 0x06

#define VL_TAGGED_HEADER_SIZE 13u

/* What stands before a packet of `size` bytes for a client. A kick has size 0 and nothing behind it. */
VL_API void vl_put_tagged_header(
    unsigned char header[VL_TAGGED_HEADER_SIZE], uint64_t client_id, int flag, size_t size);

#define VL_MULTICAST_HEADER_SIZE 18u
/* The most ids that one multicast may have. */
#define VL_MULTICAST_IDS 65536u

/* What stands before the ids of a multicast, which stand before its packet of `size` bytes. `kind` is VL_FLAG_DATA or
 * VL_FLAG_VOLATILE. */
VL_API void vl_put_multicast_header(
    unsigned char header[VL_MULTICAST_HEADER_SIZE], int kind, size_t id_count, size_t size);

/* Writes ids as they stand in a multicast: 8 bytes each. */
VL_API void vl_put_ids(unsigned char *bytes, const uint64_t *ids, size_t id_count);

#ifdef __cplusplus
}
#endif

#endif
