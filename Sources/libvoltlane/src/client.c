/* A session of a relay, and the connections that it has one after the other.
 *
 * One function, process(), does whatever can be done without waiting, by phase:
 *
 *     RESOLVING -> CONNECTING -> SHAKING -> CONNECTED --lost--> PAUSING -> RESOLVING ...
 *         |            |            |           |                  |
 *         +------------+------------+-----------+------------------+---> DOWN
 *
 * The functions that wait call it, look whether what they wait for is there, and wait for the next thing to do. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <voltlane/client.h>
#include <voltlane/codec.h>

#include "crypto.h"
#include "error.h"
#include "frame.h"
#include "net.h"
#include "session.h"
#include "stream.h"
#include "waiter.h"

/* What one read may bring. */
#define READ_SIZE (64u << 10)

/* A connection must have lived this long before delays start small again: one that is made and lost over and over must
 * not be made ever faster. */
#define SETTLED 10000

/* Where the relay closes this many young connections in a row while the session lives on, another client has the same
 * session. A proxy in between may lose a relay once or twice. */
#define TAKEOVERS 3

/* The longest delay of a client that shares its session: as long as a relay keeps a session whose client is away. */
#define SHARED_DELAY 300000

/* More than fits into one read of a handshake, whose packets have at most 260 bytes. */
#define EARLY_SIZE 4096

enum phase { RESOLVING, CONNECTING, SHAKING, CONNECTED, PAUSING, DOWN };

struct vl_client {
  struct vli_waiter waiter;
  vl_client_options options;
  struct vli_address address;
  char address_text[VLI_HOST_MAX + 16];
  unsigned char pinned_key[VL_PUBLIC_KEY_SIZE];

  enum phase phase;
  bool is_closed;
  /* Nothing more will be sent, and: the kernel was told so. */
  bool has_finished, is_shut;
  /* Why there is no connection. */
  int failure;
  char failure_text[512];

  /* The session, once it is known. */
  vl_session session;
  bool has_session;
  unsigned long connections;

  /* The attempts since the connection was lost, or since the caller asked. */
  bool comes_back, heard_over;
  int64_t series_begin, retry_at;
  int longest_delay;
  /* How many connections in a row were closed by the relay while young. */
  int takeovers;

  /* The attempt that is made. */
  struct vli_resolver *resolver;
  struct vli_socket_addresses addresses;
  size_t address_index;
  int64_t attempt_deadline, address_deadline;
  vl_client_codec codec;
  unsigned char early[EARLY_SIZE];
  size_t early_size;

  /* The socket, or -1, and what is waited for there. */
  int socket;
  bool watches_input, watches_output;
  int64_t connected_at;
  /* Nothing can be written any more; what has come is still read. */
  bool cannot_write;

  struct vli_inbox inbox;
  struct vli_outbox outbox;
  /* What the packet at the front of the inbox needs. */
  size_t needed;
  pthread_t receiver;
  bool has_receiver;

  /* The lock of the session file, or -1. */
  int file_lock;
};

/* ---- The socket ---- */

static bool wants_input(const vl_client *client) {
  if (client->phase == SHAKING) return true;
  if (client->phase != CONNECTED) return false;
  size_t size = vli_inbox_size(&client->inbox);
  return size < client->options.receive_limit || size < client->needed || client->cannot_write;
}

static bool wants_output(const vl_client *client) {
  const unsigned char *bytes;
  switch (client->phase) {
    case CONNECTING: return true;
    case SHAKING: return vl_client_codec_output(&client->codec, &bytes) > 0;
    case CONNECTED: return vli_outbox_size(&client->outbox) > 0 && !client->cannot_write;
    default: return false;
  }
}

static void watch(vl_client *client) {
  if (client->socket < 0) return;
  bool input = wants_input(client), output = wants_output(client);
  if (input == client->watches_input && output == client->watches_output) return;
  client->watches_input = input;
  client->watches_output = output;
  vli_waiter_change(&client->waiter, client->socket, input, output);
}

static void drop_socket(vl_client *client) {
  if (client->socket < 0) return;
  vli_waiter_remove(&client->waiter, client->socket);
  vli_hang_up(client->socket);
  client->socket = -1;
}

static void drop_resolver(vl_client *client) {
  if (!client->resolver) return;
  vli_waiter_remove(&client->waiter, vli_resolver_descriptor(client->resolver));
  vli_resolver_free(client->resolver);
  client->resolver = NULL;
}

/* ---- Failures ---- */

/* Keeps this thread's failure for the others. */
static void keep_failure(vl_client *client, int code) {
  client->failure = code;
  snprintf(client->failure_text, sizeof client->failure_text, "%s", vl_error_text());
}

static int fail_again(const vl_client *client) {
  return vli_fail(client->failure, "%s", client->failure_text);
}

static int fail_closed(void) {
  return vli_fail(VL_E_CLOSED, "the client is closed");
}

static void go_down(vl_client *client) {
  client->phase = DOWN;
}

/* The time at which it gives up; never, where it does not. */
static int64_t end_of_series(const vl_client *client) {
  bool is_bounded = client->comes_back && client->options.give_up_after >= 0;
  return is_bounded ? client->series_begin + client->options.give_up_after : VLI_NEVER;
}

static void pause_before_retry(vl_client *client) {
  int64_t now = vli_now(), end = end_of_series(client);
  if (now >= end) {
    char last[sizeof client->failure_text];
    memcpy(last, client->failure_text, sizeof last);
    int time = client->options.give_up_after;
    keep_failure(client, vli_fail(VL_E_GAVE_UP, "gave up after %d ms; the last attempt: %.400s", time, last));
    go_down(client);
    return;
  }
  client->retry_at = now + vli_random_up_to(client->longest_delay);
  if (client->retry_at > end) client->retry_at = end;
  int last = client->options.last_delay;
  client->longest_delay = client->longest_delay > last / 2 ? last : 2 * client->longest_delay;
  client->phase = PAUSING;
}

/* Leaves the session to the other client that has it, for longer each time: else they would take it from each other for
 * ever. */
static void leave_to_another(vl_client *client) {
  int64_t end = end_of_series(client), delay = client->options.last_delay;
  for (int i = TAKEOVERS; i < client->takeovers && delay < SHARED_DELAY; i++) delay *= 2;
  keep_failure(
      client, vli_fail(
                  VL_E_SESSION_SHARED, "another client has the same session: %d times in a row the relay has closed a "
                                       "young connection of this one", client->takeovers));
  if (delay > SHARED_DELAY) delay = SHARED_DELAY;
  /* By chance, so that the two do not keep in step. */
  client->retry_at = vli_now() + delay / 2 + vli_random_up_to((int)(delay - delay / 2));
  if (client->retry_at > end) client->retry_at = end;
  client->phase = PAUSING;
}

/* An attempt has come to nothing, for the reason of this thread's last failure. Two answers are final: another key, and
 * that the session is over, once it has been heard twice. The first time it may be a proxy that closed. */
static void attempt_failed(vl_client *client, int code) {
  drop_socket(client);
  drop_resolver(client);
  keep_failure(client, code);
  bool is_final = !client->comes_back || code == VL_E_WRONG_RELAY_KEY;
  if (code == VL_E_SESSION_OVER) {
    is_final = client->heard_over;
    client->heard_over = true;
  } else if (code == VL_E_REFUSED || code == VL_E_INVALID_CHALLENGE) {
    /* A relay challenges nobody whose session is over. */
    client->heard_over = false;
  }
  if (is_final) {
    go_down(client);
  } else {
    pause_before_retry(client);
  }
}

/* ---- An attempt ---- */

static void connect_next(vl_client *client);

static void begin_connecting(vl_client *client) {
  client->address_index = 0;
  connect_next(client);
}

static void begin_attempt(vl_client *client) {
  const unsigned char *pinned = client->options.relay_key;
  int failure = client->has_session
                    ? vl_client_codec_init_resume(&client->codec, &client->session, client->options.max_packet_size)
                    : vl_client_codec_init(&client->codec, NULL, pinned, client->options.max_packet_size);
  int64_t end = end_of_series(client);
  client->early_size = 0;
  client->attempt_deadline = vli_deadline(client->options.connect_timeout);
  if (client->attempt_deadline > end) client->attempt_deadline = end;
  client->phase = RESOLVING;
  if (!failure) failure = vli_resolver_start(&client->resolver, &client->address, &client->addresses);
  if (failure) {
    attempt_failed(client, failure);
    return;
  }
  if (!client->resolver) {
    begin_connecting(client);
    return;
  }
  vli_waiter_add(&client->waiter, vli_resolver_descriptor(client->resolver), true, false);
}

/* Begins attempts, the first one at once. */
static void begin_series(vl_client *client, bool comes_back) {
  client->comes_back = comes_back;
  client->heard_over = false;
  client->series_begin = vli_now();
  client->longest_delay = client->options.first_delay;
  client->takeovers = 0;
  begin_attempt(client);
}

static void unreachable(vl_client *client, int error) {
  attempt_failed(client, vli_fail_system(VL_E_UNREACHABLE, error, "cannot reach %s", client->address_text));
}

/* Connects to the next of the addresses; each gets an equal share of the time that is left. */
static void connect_next(vl_client *client) {
  int error = EADDRNOTAVAIL;
  drop_socket(client);
  for (; client->address_index < client->addresses.count; client->address_index++) {
    int descriptor =
        vli_connect(&client->addresses.list[client->address_index], client->options.dead_after);
    if (descriptor < 0) {
      error = errno;
      continue;
    }
    int64_t now = vli_now();
    int64_t share = (int64_t)(client->addresses.count - client->address_index);
    client->address_deadline =
        client->attempt_deadline == VLI_NEVER ? VLI_NEVER : now + (client->attempt_deadline - now) / share;
    client->address_index++;
    client->socket = descriptor;
    client->phase = CONNECTING;
    client->watches_input = false;
    client->watches_output = true;
    if (vli_waiter_add(&client->waiter, descriptor, false, true)) {
      attempt_failed(client, vli_fail_system(VL_E_SYSTEM, errno, "cannot wait for a socket"));
      return;
    }
    return;
  }
  unreachable(client, error);
}

static void timed_out(vl_client *client) {
  attempt_failed(
      client, vli_fail(
                  VL_E_TIMEOUT, "no answer from the relay at %s within %d ms", client->address_text,
                  client->options.connect_timeout));
}

static bool process_resolving(vl_client *client) {
  int failure;
  if (vli_resolver_finish(client->resolver, &failure, &client->addresses)) {
    /* The thread that asks is the one that keeps the text. */
    if (failure) {
      attempt_failed(client, failure);
    } else {
      drop_resolver(client);
      begin_connecting(client);
    }
    return true;
  }
  if (vli_now() < client->attempt_deadline) return false;
  timed_out(client);
  return true;
}

static bool process_connecting(vl_client *client) {
  int error = vli_connect_result(client->socket);
  if (error == EINPROGRESS) {
    if (vli_now() < client->address_deadline) return false;
    if (client->address_index < client->addresses.count) {
      connect_next(client);
    } else {
      timed_out(client);
    }
    return true;
  }
  if (error == 0 && vli_is_own_peer(client->socket)) error = ECONNREFUSED;
  if (error == 0) {
    client->phase = SHAKING;
    client->cannot_write = client->is_shut = false;
  } else if (client->address_index < client->addresses.count) {
    connect_next(client);
  } else {
    unreachable(client, error);
  }
  return true;
}

static void handshake_done(vl_client *client) {
  vl_client_codec_session(&client->codec, &client->session);
  vl_client_codec_wipe(&client->codec);
  client->has_session = true;
  client->connections++;
  client->connected_at = vli_now();
  client->needed = 0;
  client->failure = VL_OK;
  client->failure_text[0] = 0;
  client->phase = CONNECTED;
  if (!vli_inbox_append(&client->inbox, client->early, client->early_size)) {
    attempt_failed(client, vli_fail(VL_E_MEMORY, "out of memory"));
  }
}

static int write_handshake(vl_client *client) {
  const unsigned char *bytes;
  size_t size;
  while ((size = vl_client_codec_output(&client->codec, &bytes)) > 0) {
    ssize_t count = send(client->socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      vl_client_codec_sent(&client->codec, (size_t)count);
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return 0;
}

static bool process_shaking(vl_client *client) {
  /* Where nothing can be written any more, what can be read says why. */
  write_handshake(client);
  ssize_t count =
      recv(client->socket, client->early + client->early_size, EARLY_SIZE - client->early_size, MSG_DONTWAIT);
  if (count < 0 && errno == EINTR) return true;
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    if (vli_now() < client->attempt_deadline) return false;
    timed_out(client);
    return true;
  }
  if (count <= 0) {
    attempt_failed(client, vl_client_codec_end(&client->codec, count == 0, client->early_size));
    return true;
  }
  client->early_size += (size_t)count;
  size_t used;
  vl_client_event event;
  int failure = vl_client_codec_read(&client->codec, client->early, client->early_size, &used, &event);
  client->early_size -= used;
  memmove(client->early, client->early + used, client->early_size);
  if (failure) {
    attempt_failed(client, failure);
  } else if (event.kind == VL_CLIENT_READY) {
    handshake_done(client);
  }
  return true;
}

/* ---- Connected ---- */

/* Takes away what is there of a packet that will never be whole. */
static void drop_partial_packet(vl_client *client) {
  struct vli_inbox *inbox = &client->inbox;
  size_t at = inbox->begin, size = 0;
  while (at < inbox->end &&
         vli_frame_look(inbox->block + at, inbox->end - at, client->options.max_packet_size, &size, &client->needed) ==
             VLI_FRAME_WHOLE) {
    at += VL_PACKET_HEADER_SIZE + size;
  }
  inbox->end = at;
  client->needed = 0;
}

static bool ends_within_packet(const vl_client *client) {
  const struct vli_inbox *inbox = &client->inbox;
  size_t at = inbox->begin, size, needed;
  while (at < inbox->end) {
    enum vli_frame frame =
        vli_frame_look(inbox->block + at, inbox->end - at, client->options.max_packet_size, &size, &needed);
    if (frame != VLI_FRAME_WHOLE) return true;
    at += VL_PACKET_HEADER_SIZE + size;
  }
  return false;
}

/* The connection has ended, for the reason of this thread's last failure. */
static void connection_ended(vl_client *client, int code) {
  keep_failure(client, code);
  drop_socket(client);
  drop_partial_packet(client);
  vli_outbox_rewind(&client->outbox);
  /* A relay that breaks the protocol would only do so again. */
  bool comes_back = client->options.reconnect && !client->has_finished && code != VL_E_PROTOCOL;
  if (!comes_back) {
    go_down(client);
    return;
  }
  client->comes_back = true;
  client->heard_over = false;
  client->series_begin = vli_now();
  bool is_settled = client->series_begin - client->connected_at >= SETTLED;
  if (is_settled || client->connections == 1) client->longest_delay = client->options.first_delay;
  /* That it was another client is certain once the session turns out to be alive. */
  client->takeovers = is_settled || code != VL_E_CLOSED_BY_RELAY ? 0 : client->takeovers + 1;
  if (client->takeovers >= TAKEOVERS) {
    leave_to_another(client);
  } else {
    pause_before_retry(client);
  }
}

static void connection_lost(vl_client *client, int error) {
  connection_ended(client, vli_fail_system(VL_E_CONNECTION_LOST, error, "the connection was lost"));
}

static void write_queued(vl_client *client) {
  if (client->cannot_write) return;
  if (vli_outbox_size(&client->outbox) > 0) {
    enum vli_io result = vli_stream_write(client->socket, &client->outbox);
    if (result == VLI_IO_LOST) client->cannot_write = true;
    if (result != VLI_IO_AGAIN) vli_waiter_tell(&client->waiter);
  }
  if (client->has_finished && !client->is_shut && !client->cannot_write && vli_outbox_size(&client->outbox) == 0) {
    shutdown(client->socket, SHUT_WR);
    client->is_shut = true;
    vli_waiter_tell(&client->waiter);
  }
}

/* VL_E_MEMORY, or VL_OK. */
static int process_connected(vl_client *client) {
  write_queued(client);
  if (!wants_input(client)) return VL_OK;
  switch (vli_stream_read(client->socket, &client->inbox, client->needed)) {
    case VLI_IO_DONE:
    case VLI_IO_AGAIN:
      return VL_OK;
    case VLI_IO_MEMORY:
      return vli_fail(VL_E_MEMORY, "out of memory");
    case VLI_IO_END:
      if (ends_within_packet(client)) {
        connection_ended(client, vli_fail(VL_E_CONNECTION_LOST, "the relay closed the connection within a packet"));
      } else {
        connection_ended(client, vli_fail(VL_E_CLOSED_BY_RELAY, "the relay closed the connection"));
      }
      return VL_OK;
    default:
      connection_lost(client, errno);
      return VL_OK;
  }
}

static bool process_pausing(vl_client *client) {
  if (vli_now() < client->retry_at) return false;
  if (vli_now() >= end_of_series(client)) {
    pause_before_retry(client);
  } else {
    begin_attempt(client);
  }
  return true;
}

static int64_t next_deadline(const vl_client *client) {
  switch (client->phase) {
    case RESOLVING:
    case SHAKING: return client->attempt_deadline;
    case CONNECTING: return client->address_deadline;
    case PAUSING: return client->retry_at;
    default: return VLI_NEVER;
  }
}

static void await(vl_client *client) {
  watch(client);
  vli_waiter_set_timer(&client->waiter, next_deadline(client));
}

/* Does what can be done now. Where another thread polls, that does it. */
static int process(vl_client *client) {
  int failure = VL_OK;
  if (client->waiter.is_polling || client->is_closed) return VL_OK;
  enum phase before = client->phase;
  for (bool goes_on = true; goes_on;) {
    switch (client->phase) {
      case RESOLVING: goes_on = process_resolving(client); break;
      case CONNECTING: goes_on = process_connecting(client); break;
      case SHAKING:
        /* Once connected, whoever waits for that hears of it before what may follow at once, such as the end. */
        goes_on = process_shaking(client) && client->phase != CONNECTED;
        break;
      case PAUSING: goes_on = process_pausing(client); break;
      case CONNECTED:
        failure = process_connected(client);
        goes_on = client->phase != CONNECTED;
        break;
      case DOWN: goes_on = false; break;
    }
  }
  if (client->phase != before) vli_waiter_tell(&client->waiter);
  await(client);
  return failure;
}

/* ---- Made and freed ---- */

static void free_client(vl_client *client) {
  drop_socket(client);
  drop_resolver(client);
  if (client->file_lock >= 0) close(client->file_lock);
  vli_inbox_destroy(&client->inbox);
  vli_outbox_destroy(&client->outbox);
  vli_waiter_destroy(&client->waiter);
  vl_client_codec_wipe(&client->codec);
  vl_session_wipe(&client->session);
  free(client);
}

static int check_options(vl_client_options *options, const vl_client_options *given) {
  static const vl_client_options defaults = VL_CLIENT_OPTIONS;
  *options = defaults;
  if (given) {
    size_t size = given->struct_size;
    if (size == 0) return vli_fail(VL_E_ARGUMENT, "the options do not begin with VL_CLIENT_OPTIONS");
    memcpy(options, given, size < sizeof *options ? size : sizeof *options);
  }
  if (options->max_packet_size == 0 || options->max_packet_size > UINT32_MAX - 13) {
    return vli_fail(VL_E_ARGUMENT, "max_packet_size is no size for packets");
  }
  if (options->first_delay < 0 || options->last_delay < options->first_delay) {
    return vli_fail(VL_E_ARGUMENT, "first_delay and last_delay are no delays");
  }
  if (options->send_limit == 0) options->send_limit = 1;
  if (options->receive_limit == 0) options->receive_limit = 1;
  return VL_OK;
}

static int make(
    vl_client **result, const char *address, const vl_session *session, const vl_client_options *given) {
  *result = NULL;
  vl_client_options options;
  struct vli_address parsed;
  int failure = check_options(&options, given);
  if (!failure) failure = vli_address_parse(&parsed, address);
  if (failure) return failure;
  if (vli_crypto_start()) return vli_fail(VL_E_SYSTEM, "the system gives no randomness");
  vl_client *client = calloc(1, sizeof *client);
  if (!client) return vli_fail(VL_E_MEMORY, "out of memory");
  client->options = options;
  client->address = parsed;
  client->socket = client->file_lock = -1;
  client->phase = DOWN;
  snprintf(client->address_text, sizeof client->address_text, "%s", address);
  vli_inbox_init(&client->inbox, READ_SIZE);
  failure = vli_waiter_init(&client->waiter);
  if (failure) {
    free(client);
    return failure;
  }
  if (options.relay_key) {
    if (vli_public_key_read(client->pinned_key, options.relay_key, VL_PUBLIC_KEY_SIZE)) {
      failure = vli_fail(VL_E_ARGUMENT, "relay_key is no public key");
    }
    client->options.relay_key = client->pinned_key;
  }
  if (!failure && session) {
    client->session = *session;
    client->has_session = true;
    if (options.relay_key && memcmp(client->pinned_key, session->relay_key, VL_PUBLIC_KEY_SIZE) != 0) {
      failure = vli_fail(VL_E_WRONG_RELAY_KEY, "the session is with a relay of another key than relay_key");
    }
  }
  if (failure) {
    free_client(client);
    return failure;
  }
  begin_series(client, false);
  await(client);
  *result = client;
  return VL_OK;
}

/* Waits until it is connected, or down. */
static int wait_until_connected(vl_client *client, int64_t deadline) {
  for (;;) {
    if (client->is_closed) return fail_closed();
    process(client);
    if (client->phase == CONNECTED) return VL_OK;
    if (client->phase == DOWN) return fail_again(client);
    if (vli_now() >= deadline) return vli_fail(VL_E_TIMEOUT, "not connected within the time given");
    vli_waiter_wait(&client->waiter, deadline);
  }
}

static int connect_and_wait(
    vl_client **client, const char *address, const vl_session *session, const vl_client_options *options) {
  int failure = make(client, address, session, options);
  if (failure) return failure;
  pthread_mutex_lock(&(*client)->waiter.lock);
  /* Each attempt has its own deadline. */
  failure = wait_until_connected(*client, VLI_NEVER);
  pthread_mutex_unlock(&(*client)->waiter.lock);
  if (failure) {
    free_client(*client);
    *client = NULL;
  }
  return failure;
}

int vl_client_connect(vl_client **client, const char *address, const vl_client_options *options) {
  return connect_and_wait(client, address, NULL, options);
}

int vl_client_resume(
    vl_client **client, const char *address, const vl_session *session, const vl_client_options *options) {
  return connect_and_wait(client, address, session, options);
}

int vl_client_open(
    vl_client **client, const char *address, const char *path, int *resumed, const vl_client_options *options) {
  vl_session session;
  int lock, found, is_resumed = 0;
  *client = NULL;
  int failure = vli_session_lock(path, &lock);
  if (failure) return failure;
  failure = vl_session_load(&session, path, &found);
  if (!failure && found) {
    failure = vl_client_resume(client, address, &session, options);
    is_resumed = !failure;
    if (failure == VL_E_SESSION_OVER) failure = VL_OK;
  }
  if (!failure && !is_resumed) {
    failure = vl_client_connect(client, address, options);
    if (!failure) {
      session = (*client)->session;
      failure = vl_session_save(&session, path);
      if (failure) {
        free_client(*client);
        *client = NULL;
      }
    }
  }
  vl_session_wipe(&session);
  if (failure) {
    close(lock);
    return failure;
  }
  (*client)->file_lock = lock;
  if (resumed) *resumed = is_resumed;
  return VL_OK;
}

int vl_client_start(
    vl_client **client, const char *address, const vl_session *session, const vl_client_options *options) {
  return make(client, address, session, options);
}

void vl_client_free(vl_client *client) {
  if (client) free_client(client);
}

/* ---- Sending ---- */

/* Whether it is worth to collect: the thread that receives answers one of several packets that have come. */
static bool collects(const vl_client *client) {
  size_t size, needed;
  return client->options.coalesce && client->has_receiver && pthread_equal(client->receiver, pthread_self()) &&
         vli_outbox_size(&client->outbox) < VLI_COLLECTED &&
         vli_frame_look(
             vli_inbox_bytes(&client->inbox), vli_inbox_size(&client->inbox), client->options.max_packet_size, &size,
             &needed) == VLI_FRAME_WHOLE;
}

static int take_packet(vl_client *client, const void *data, size_t size, bool is_collected) {
  unsigned char header[VL_PACKET_HEADER_SIZE];
  vl_put_packet_header(header, size);
  /* Nothing is written through the pointers. */
  const struct iovec pieces[2] = {
      {.iov_base = header, .iov_len = sizeof header}, {.iov_base = (void *)(uintptr_t)data, .iov_len = size}};
  bool is_broken = false;
  enum vli_io result;
  if (client->phase != CONNECTED || client->cannot_write || is_collected) {
    result = vli_outbox_append(&client->outbox, pieces, 2, 0) ? VLI_IO_DONE : VLI_IO_MEMORY;
  } else {
    result = vli_stream_send(client->socket, &client->outbox, pieces, 2, &is_broken);
    if (result == VLI_IO_LOST) client->cannot_write = true;
    if (is_broken) connection_ended(client, vli_fail(VL_E_CONNECTION_LOST, "out of memory within a packet"));
    await(client);
  }
  return result == VLI_IO_MEMORY ? vli_fail(VL_E_MEMORY, "out of memory") : VL_OK;
}

/* Waits until the kernel has what was added to the queue up to now. Where there is no connection, or the time passes,
 * it stays queued, and leaves in a later call. */
static int wait_until_written(vl_client *client, int64_t deadline) {
  uint64_t mark = client->outbox.added;
  while (client->outbox.left < mark && client->phase == CONNECTED && !client->cannot_write && !client->is_closed) {
    int failure = process(client);
    if (failure) return failure;
    if (client->outbox.left >= mark || vli_now() >= deadline) break;
    vli_waiter_wait(&client->waiter, deadline);
  }
  return VL_OK;
}

int vl_client_send(vl_client *client, const void *data, size_t size, int timeout) {
  if (size > client->options.max_packet_size) {
    return vli_fail(
        VL_E_TOO_LARGE, "a packet of %zu bytes where %zu are allowed", size, client->options.max_packet_size);
  }
  int failure = VL_OK;
  int64_t deadline = -1;
  pthread_mutex_lock(&client->waiter.lock);
  for (;;) {
    if (client->is_closed || client->has_finished) {
      failure = vli_fail(VL_E_CLOSED, "the client is closed, or its sending side finished");
    } else if (client->phase == DOWN) {
      failure = fail_again(client);
    } else if (vli_outbox_size(&client->outbox) < client->options.send_limit) {
      bool is_collected = collects(client);
      failure = take_packet(client, data, size, is_collected);
      if (failure || is_collected || timeout == 0 || client->outbox.left == client->outbox.added) break;
      failure = wait_until_written(client, deadline < 0 ? vli_deadline(timeout) : deadline);
      break;
    }
    if (failure) break;
    if (deadline < 0) deadline = vli_deadline(timeout);
    failure = process(client);
    if (failure) break;
    if (vli_outbox_size(&client->outbox) < client->options.send_limit || client->phase == DOWN) continue;
    if (vli_now() >= deadline) {
      failure = vli_fail(VL_E_TIMEOUT, "%zu bytes wait to be sent already", vli_outbox_size(&client->outbox));
      break;
    }
    vli_waiter_wait(&client->waiter, deadline);
  }
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

/* Waits until all is with the kernel and, where it has finished, until that was told. */
static int wait_until_sent(vl_client *client, int64_t deadline) {
  for (;;) {
    if (client->is_closed) return fail_closed();
    int failure = process(client);
    if (failure) return failure;
    if (client->phase == DOWN) return fail_again(client);
    bool is_sent = vli_outbox_size(&client->outbox) == 0 && client->phase == CONNECTED;
    if (is_sent && (client->is_shut || !client->has_finished)) return VL_OK;
    if (vli_now() >= deadline) {
      return vli_fail(VL_E_TIMEOUT, "%zu bytes still wait to be sent", vli_outbox_size(&client->outbox));
    }
    vli_waiter_wait(&client->waiter, deadline);
  }
}

int vl_client_flush(vl_client *client, int timeout) {
  pthread_mutex_lock(&client->waiter.lock);
  if (client->phase == CONNECTED && !client->is_closed) write_queued(client);
  await(client);
  int failure = wait_until_sent(client, vli_deadline(timeout));
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

int vl_client_finish(vl_client *client, int timeout) {
  pthread_mutex_lock(&client->waiter.lock);
  client->has_finished = true;
  if (client->phase == CONNECTED && !client->is_closed) write_queued(client);
  await(client);
  int failure = wait_until_sent(client, vli_deadline(timeout));
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

/* ---- Receiving ---- */

/* Lends the packet at the front, where it is whole. */
static bool lend(vl_client *client, vl_packet *packet) {
  struct vli_inbox *inbox = &client->inbox;
  size_t size = 0;
  switch (vli_frame_look(
      vli_inbox_bytes(inbox), vli_inbox_size(inbox), client->options.max_packet_size, &size, &client->needed)) {
    case VLI_FRAME_PARTIAL: return false;
    case VLI_FRAME_OVERSIZED:
      inbox->end = inbox->begin;
      if (client->phase == CONNECTED) {
        connection_ended(client, vli_fail(VL_E_PROTOCOL, "the relay sent a packet above the maximum"));
      }
      return false;
    case VLI_FRAME_WHOLE: break;
  }
  packet->data = vli_inbox_bytes(inbox) + VL_PACKET_HEADER_SIZE;
  packet->size = size;
  inbox->begin += VL_PACKET_HEADER_SIZE + size;
  inbox->is_lent = true;
  client->needed = 0;
  if (!client->watches_input) watch(client);
  return true;
}

int vl_client_receive(vl_client *client, vl_packet *packet, int timeout) {
  int failure = VL_OK;
  int64_t deadline = -1;
  pthread_mutex_lock(&client->waiter.lock);
  client->receiver = pthread_self();
  client->has_receiver = true;
  vli_inbox_take_back(&client->inbox);
  packet->data = NULL;
  packet->size = 0;
  while (!failure && !lend(client, packet)) {
    if (client->is_closed) {
      failure = fail_closed();
    } else if (client->phase == DOWN) {
      failure = fail_again(client);
    } else {
      if (deadline < 0) deadline = vli_deadline(timeout);
      failure = process(client);
      if (failure || lend(client, packet)) break;
      if (client->phase == DOWN || client->is_closed) continue;
      if (vli_now() >= deadline) {
        failure = vli_fail(VL_E_TIMEOUT, "no packet within %d ms", timeout);
      } else {
        vli_waiter_wait(&client->waiter, deadline);
      }
    }
  }
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

/* ---- The rest ---- */

int vl_client_reconnect(vl_client *client, int timeout) {
  int failure;
  pthread_mutex_lock(&client->waiter.lock);
  if (client->is_closed || client->has_finished) {
    failure = vli_fail(VL_E_CLOSED, "the client is closed, or its sending side finished");
  } else {
    if (client->phase == CONNECTED) {
      drop_partial_packet(client);
      vli_outbox_rewind(&client->outbox);
    }
    drop_socket(client);
    drop_resolver(client);
    begin_series(client, client->options.reconnect && client->has_session);
    await(client);
    vli_waiter_wake(&client->waiter);
    failure = wait_until_connected(client, vli_deadline(timeout));
    if (failure == VL_E_TIMEOUT && client->phase != DOWN && !client->options.reconnect) {
      attempt_failed(client, failure);
      await(client);
    }
  }
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

void vl_client_close(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  client->is_closed = true;
  drop_socket(client);
  drop_resolver(client);
  go_down(client);
  keep_failure(client, fail_closed());
  vli_waiter_set_timer(&client->waiter, VLI_NEVER);
  vli_waiter_wake(&client->waiter);
  pthread_mutex_unlock(&client->waiter.lock);
}

uint64_t vl_client_id(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  uint64_t id = client->has_session ? client->session.client_id : 0;
  pthread_mutex_unlock(&client->waiter.lock);
  return id;
}

int vl_client_session(vl_client *client, vl_session *session) {
  pthread_mutex_lock(&client->waiter.lock);
  bool is_known = client->has_session;
  if (is_known) *session = client->session;
  pthread_mutex_unlock(&client->waiter.lock);
  return is_known ? VL_OK : vli_fail(VL_E_NOT_CONNECTED, "the first handshake is not done yet");
}

int vl_client_state(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  int state = client->phase == CONNECTED   ? VL_CLIENT_CONNECTED
              : client->phase == DOWN      ? VL_CLIENT_DISCONNECTED
              : client->connections == 0   ? VL_CLIENT_CONNECTING
                                           : VL_CLIENT_RECONNECTING;
  pthread_mutex_unlock(&client->waiter.lock);
  return state;
}

int vl_client_failure(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  int failure = client->failure ? fail_again(client) : VL_OK;
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}

unsigned long vl_client_connections(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  unsigned long count = client->connections;
  pthread_mutex_unlock(&client->waiter.lock);
  return count;
}

size_t vl_client_unsent(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  size_t size = vli_outbox_size(&client->outbox);
  pthread_mutex_unlock(&client->waiter.lock);
  return size;
}

int vl_client_fd(vl_client *client) {
  return client->waiter.epoll;
}

int vl_client_process(vl_client *client) {
  pthread_mutex_lock(&client->waiter.lock);
  int failure = client->is_closed ? fail_closed() : process(client);
  if (!failure && client->phase == DOWN) failure = fail_again(client);
  pthread_mutex_unlock(&client->waiter.lock);
  return failure;
}
