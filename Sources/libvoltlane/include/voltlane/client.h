/* A client of a relay: packets of bytes go to the relay's backend, and packets come back, in order.
 *
 *     vl_client *client;
 *     if (vl_client_connect(&client, "127.0.0.1:42000", NULL) != VL_OK) ...   // vl_error_text()
 *     vl_client_send(client, "hello", 5, 1000);
 *     vl_packet packet;
 *     while (vl_client_receive(client, &packet, -1) == VL_OK) ...             // packet.data, packet.size
 *     vl_client_free(client);
 *
 * Coming back. A client stands for a session of the relay, which outlives its connection. With `reconnect` (the
 * default) a lost connection is made anew, and sending and receiving just go on: what the relay kept meanwhile comes
 * first, and packets that wait to be sent leave then. What the kernel had accepted when the connection was lost is
 * lost; no packet goes in part, and none twice. Without `reconnect`, vl_client_receive() tells of the loss, and
 * vl_client_reconnect() comes back.
 *
 * With other event loops. vl_client_start() connects without blocking, and vl_client_fd() is one descriptor, the same
 * for the client's whole life: whenever it is readable, call vl_client_receive() with a time of 0 until it returns
 * VL_E_TIMEOUT. Timers are behind that descriptor too.
 *
 * Threads. Any number of threads may send while one receives, and vl_client_close() may be called by any of them: the
 * others' calls return VL_E_CLOSED. One thread receives at a time. vl_client_free() comes after every other call has
 * returned. Data is not encrypted. */
#ifndef VOLTLANE_CLIENT_H
#define VOLTLANE_CLIENT_H

#include <voltlane/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vl_client vl_client;

/* Start from VL_CLIENT_OPTIONS, which has every default, and change what should differ. Later versions add fields at
 * the end, and know by `struct_size` what an older program has. */
typedef struct vl_client_options {
  size_t struct_size;
  /* For all of connecting: resolving the name, reaching the relay, the handshake. Each attempt has it anew. */
  int connect_timeout;
  /* Whether a lost connection is made anew by itself: 1 or 0. Attempts follow one another with delays that double from
   * the first to the last; each is drawn at random between nothing and its full length. */
  int reconnect;
  int first_delay;
  int last_delay;
  /* The time after which it gives up coming back; negative: never. */
  int give_up_after;
  /* A relay from which nothing comes for this long, though its kernel was asked, is lost: by keepalive probes where
   * the connection is silent, and by TCP_USER_TIMEOUT where what was sent is not acknowledged. Negative: never. */
  int dead_after;
  /* The largest packet either way, in bytes: the relay's --max-packet-size. */
  size_t max_packet_size;
  /* Sending waits while this many bytes wait to be sent; one packet always fits besides. */
  size_t send_limit;
  /* The connection is not read while this many bytes wait to be received; one packet always fits besides. */
  size_t receive_limit;
  /* The relay's public key (33 bytes), where it is known beforehand; null: that of the first connection is pinned for
   * the following ones. Copied. */
  const unsigned char *relay_key;
  /* While packets that have come wait to be received, what the receiving thread sends is collected, and goes out with
   * the last of them, at 64 KiB, or when receiving waits: one write for many packets. 0: every packet is written at
   * once. A program that stops receiving in between calls vl_client_flush(). */
  int coalesce;
} vl_client_options;

#define VL_CLIENT_OPTIONS                                                                                    \
  {                                                                                                          \
    sizeof(vl_client_options), 10000, 1, 100, 10000, 300000, 30000, VL_MAX_PACKET_SIZE, 1 << 20, 1 << 20, 0, 1 \
  }

/* A packet that was received: borrowed, good until the next vl_client_receive() or vl_client_free() of this client.
 * `data` is never null, even of an empty packet. */
typedef struct vl_packet {
  const unsigned char *data;
  size_t size;
} vl_packet;

enum vl_client_state {
  /* On its way to its first connection. */
  VL_CLIENT_CONNECTING = 0,
  VL_CLIENT_CONNECTED = 1,
  /* The connection was lost, and it tries to come back. */
  VL_CLIENT_RECONNECTING = 2,
  /* It has no connection and does not try: vl_client_failure() says why. */
  VL_CLIENT_DISCONNECTED = 3
};

/* Connects as a new client, with a key made for it, and waits until that is done; one attempt. `address` is host:port,
 * [v6 address]:port or unix:/path. `options` may be null, and is copied. On VL_OK, `*client` has to be freed with
 * vl_client_free(); else it is null. VL_E_UNREACHABLE, VL_E_TIMEOUT, VL_E_CLOSED_DURING_HANDSHAKE, VL_E_PROTOCOL,
 * VL_E_WRONG_RELAY_KEY, VL_E_ARGUMENT, VL_E_MEMORY, VL_E_SYSTEM. */
VL_API int vl_client_connect(vl_client **client, const char *address, const vl_client_options *options);

/* Comes back as the client of a saved session. One attempt, and one more after a short delay where the relay says that
 * the session is over. Also VL_E_SESSION_OVER, VL_E_REFUSED, VL_E_INVALID_CHALLENGE, VL_E_INVALID_SESSION. */
VL_API int vl_client_resume(
    vl_client **client, const char *address, const vl_session *session, const vl_client_options *options);

/* The session as a whole, kept in the file at `path`: comes back as the client that is saved there; where there is
 * none, or its session is over, connects as a new one and saves it. `*resumed` (may be null) says which. The file is
 * locked until the client is freed, so that two processes do not take the session from each other: VL_E_IN_USE. */
VL_API int vl_client_open(
    vl_client **client, const char *address, const char *path, int *resumed, const vl_client_options *options);

/* Like vl_client_connect() (`session` null) and vl_client_resume(), but returns at once: the handshake goes on in
 * vl_client_receive(), or vl_client_process(). Names are resolved by a thread. */
VL_API int vl_client_start(
    vl_client **client, const char *address, const vl_session *session, const vl_client_options *options);

/* Closes and frees; null is allowed. Packets that wait to be sent are dropped: vl_client_flush() or vl_client_finish()
 * first. The session lives on in the relay for its --stale-timeout. */
VL_API void vl_client_free(vl_client *client);

/* Sends a packet of `size` bytes, which are copied; `data` may be null where `size` is 0. VL_OK: the packet is with the
 * kernel, or queued where that took longer than `timeout`, where the client has no connection at the moment, or where
 * packets are collected; what is queued leaves in later calls. VL_E_TIMEOUT where as much as `send_limit` was queued
 * for all of `timeout`: no byte of it was taken.
 * VL_E_TOO_LARGE, VL_E_CLOSED, VL_E_MEMORY, or why the client has no connection and does not try to get one. */
VL_API int vl_client_send(vl_client *client, const void *data, size_t size, int timeout);

/* Waits for the next packet. After the last one: VL_E_CLOSED_BY_RELAY, VL_E_CONNECTION_LOST, VL_E_SESSION_OVER,
 * VL_E_WRONG_RELAY_KEY, VL_E_GAVE_UP, VL_E_PROTOCOL, VL_E_CLOSED; while connecting, what vl_client_connect() says. */
VL_API int vl_client_receive(vl_client *client, vl_packet *packet, int timeout);

/* Waits until the kernel has everything that was sent. */
VL_API int vl_client_flush(vl_client *client, int timeout);

/* Says that nothing more will be sent, after all that was: shuts the sending side down (a half close). Packets can
 * still be received; the relay sends what comes within its --half-close-timeout. A client that has finished does not
 * come back by itself. */
VL_API int vl_client_finish(vl_client *client, int timeout);

/* Comes back on a new connection now, whether the old one is lost or not: for a program that knows that its network
 * has changed. Waits until it is done. VL_E_TIMEOUT: not yet; it goes on (with `reconnect`) or was given up. */
VL_API int vl_client_reconnect(vl_client *client, int timeout);

/* Ends the client for good: every call that waits returns VL_E_CLOSED. May be called by any thread. */
VL_API void vl_client_close(vl_client *client);

/* The id that the relay gave to this client, kept through reconnections; 0 until the first handshake is done, which
 * vl_client_session() can tell. */
VL_API uint64_t vl_client_id(vl_client *client);

/* What it takes to come back as this client; VL_E_NOT_CONNECTED until the first handshake is done. */
VL_API int vl_client_session(vl_client *client, vl_session *session);

VL_API int vl_client_state(vl_client *client);

/* Why it has no connection, or what the last attempt came to; VL_OK while it is connected. */
VL_API int vl_client_failure(vl_client *client);

/* How many connections have been made, the present one included: it grows when the client has come back. */
VL_API unsigned long vl_client_connections(vl_client *client);

/* What waits to be sent, in bytes. */
VL_API size_t vl_client_unsent(vl_client *client);

/* For other event loops: readable whenever something is to be done. The same descriptor until vl_client_free(), and
 * not to be read, written or closed. */
VL_API int vl_client_fd(vl_client *client);

/* Does what can be done without waiting: connects, reads, writes, comes back. vl_client_receive() does so too. */
VL_API int vl_client_process(vl_client *client);

#ifdef __cplusplus
}
#endif

#endif
