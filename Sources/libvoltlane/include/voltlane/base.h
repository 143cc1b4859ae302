/* What every part of libvoltlane shares: versions, errors, and what a session is.
 *
 * Units, everywhere: sizes are bytes, times are milliseconds. A time to wait of 0 means "do not wait", a negative one
 * "for as long as it takes".
 *
 * Errors: a function that can fail returns VL_OK (0) or one of the negative codes below. vl_strerror() has words for
 * a code, and vl_error_text() the details of the last failure in the calling thread. */
#ifndef VOLTLANE_BASE_H
#define VOLTLANE_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VL_API __attribute__((visibility("default")))
#else
#define VL_API
#endif

#define VL_VERSION_MAJOR 1
#define VL_VERSION_MINOR 0
#define VL_VERSION "1.0.0"

/* The relay's default --max-packet-size: with its 9 bytes of tag exactly 8 MiB. */
#define VL_MAX_PACKET_SIZE 8388599u

#define VL_SECRET_KEY_SIZE 32u
/* A public key is a SEC1 compressed point of secp256k1. */
#define VL_PUBLIC_KEY_SIZE 33u

enum vl_error {
  VL_OK = 0,
  /* Not done within the time given. Of a packet that was to be sent, no byte goes out later. */
  VL_E_TIMEOUT = -1,
  /* An argument that no call may have, such as an address that cannot be read. */
  VL_E_ARGUMENT = -2,
  /* There is no memory for it. The handle is as it was before. */
  VL_E_MEMORY = -3,
  /* The system refuses something else: descriptors, threads, a file. vl_error_text() has its word for it. */
  VL_E_SYSTEM = -4,

  /* Connecting. */

  /* Nobody listens there, no way leads there, or the name does not resolve. */
  VL_E_UNREACHABLE = -5,
  /* The relay took the connection and ended it before it gave out an id, or before it was asked for an old one: it is
   * full, refuses this address, is being stopped, or has lost its backend. */
  VL_E_CLOSED_DURING_HANDSHAKE = -6,
  /* What answers there breaks the protocol: it is hardly a relay. */
  VL_E_PROTOCOL = -7,
  /* The relay's key is not the one that was pinned: another relay answers, or this one has lost its key. */
  VL_E_WRONG_RELAY_KEY = -8,

  /* Coming back. */

  /* The relay has no such session: it has ended, or ended with the relay. */
  VL_E_SESSION_OVER = -9,
  /* The relay did not let this client come back this time. The session may live on. */
  VL_E_REFUSED = -10,
  /* The challenge cannot be opened: who answers does not hold the relay's secret key, or the session is another's. */
  VL_E_INVALID_CHALLENGE = -11,
  /* The time for coming back has passed. The session may live on. */
  VL_E_GAVE_UP = -12,
  /* A saved session that is none, or whose keys are none. */
  VL_E_INVALID_SESSION = -13,
  /* Another process holds the session file. */
  VL_E_IN_USE = -14,

  /* Connected. */

  /* The connection ended otherwise than by the relay closing it between two packets. Packets may be missing. */
  VL_E_CONNECTION_LOST = -15,
  /* The relay closed the connection, between two packets. */
  VL_E_CLOSED_BY_RELAY = -16,
  /* The handle was closed, or its sending side finished. */
  VL_E_CLOSED = -17,
  /* A packet above the maximum. It was not sent, and the connection goes on. */
  VL_E_TOO_LARGE = -18,
  /* No relay is connected to the backend. */
  VL_E_NOT_CONNECTED = -19,
  /* Another client has the same session, from a copied file perhaps, and takes it away again and again. The client goes
   * on, but waits before it comes back, each time for longer: vl_client_failure() says so meanwhile. */
  VL_E_SESSION_SHARED = -20
};

/* A few words for a code, such as "the session is over". A constant: never freed, never null. Thread-safe. */
VL_API const char *vl_strerror(int code);

/* The details of the last failure in this thread, such as "cannot reach 127.0.0.1:1: Connection refused". It belongs
 * to the library, stays as it is until the next failure in this thread, and must not be freed. Never null; empty where
 * nothing has failed. */
VL_API const char *vl_error_text(void);

/* The version of the library that runs, such as "1.0.0". */
VL_API const char *vl_version(void);

/* All that a client needs to come back as itself, even from another process. SECRET: whoever has it can take the
 * session over. Wipe it with vl_session_wipe() when it is no longer needed. */
typedef struct vl_session {
  /* The name that the relay gave to the client: all 64 bits are used. People write it in 16 hexadecimal digits. */
  uint64_t client_id;
  unsigned char secret_key[VL_SECRET_KEY_SIZE];
  unsigned char relay_key[VL_PUBLIC_KEY_SIZE];
} vl_session;

/* The size of a session in text, without the null at its end. */
#define VL_SESSION_TEXT_SIZE 199u

/* Writes a session as text (four lines, the format of voltlane-connect's session files) with a null at the end. */
VL_API void vl_session_format(const vl_session *session, char text[VL_SESSION_TEXT_SIZE + 1]);

/* Reads a session from `size` bytes of text. VL_E_INVALID_SESSION where it is none. */
VL_API int vl_session_parse(vl_session *session, const char *text, size_t size);

/* Saves a session to a file that only its owner can read. The file is replaced in one step: whoever is interrupted has
 * the old one or the new one. VL_E_SYSTEM. */
VL_API int vl_session_save(const vl_session *session, const char *path);

/* Loads a session. VL_E_INVALID_SESSION where the file holds none, is no regular file, or can be read by others;
 * VL_E_SYSTEM where it cannot be read. `*found` (may be null) says whether there is such a file: with VL_OK and
 * `*found` 0 there is none, and `*session` is left alone. With `found` null, that is VL_E_SYSTEM. */
VL_API int vl_session_load(vl_session *session, const char *path, int *found);

/* Overwrites the session with zeroes, which no compiler leaves out. */
VL_API void vl_session_wipe(vl_session *session);

#ifdef __cplusplus
}
#endif

#endif
