/* The connections of a relay, one after the other.
 *
 * One is current at most: it is read, and everything is sent on it. The others are newcomers: each is read into a
 * buffer of its own, until it has shown one whole valid packet or something that no relay sends. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <voltlane/backend.h>

#include "backend_codec.h"
#include "error.h"
#include "frame.h"
#include "net.h"
#include "stream.h"
#include "waiter.h"

/* What one read may bring: a relay writes much at a time. */
#define READ_SIZE (256u << 10)
#define NEWCOMER_READ_SIZE (4u << 10)

/* A relay dials one connection at a time; over this the oldest is dropped. */
#define NEWCOMERS 8

/* How long a newcomer may say nothing until it is taken for a relay that has nothing to say, where there is no other
 * connection. Twice what a relay waits before it trusts a connection. */
#define SILENCE 200

/* How long a current connection may bring nothing once a newcomer has shown itself: what the kernel holds of it comes
 * in milliseconds, and one that is half open would never end by itself. */
#define FINISHING 1000

/* How long nobody is accepted where there are no descriptors or no memory for it. */
#define ACCEPT_PAUSE 500

/* When what is read may have arrived, at the earliest. The kernel does not say, and receives while nobody reads: after
 * a time in which nothing was read, what is read may be as old as that, until a read finds the kernel empty.
 *
 * What is in the inbox came with one read, except the beginning of the first packet, which may have come before. */
struct arrivals {
  /* When the connection was last looked at; since when something may have arrived that is not read, or VLI_NEVER. */
  int64_t looked_at, unread_since;
  int64_t of_first, of_others;
  bool has_first;
};

struct connection {
  int socket;
  struct vli_inbox inbox;
  struct arrivals arrivals;
  size_t needed;
  vl_backend_codec codec;
  unsigned long number;
  int64_t accepted_at, last_read;
  bool watches_input, watches_output;
  /* As a newcomer: it has shown a whole valid packet. */
  bool is_valid;
  /* The event that it is current was given out. */
  bool is_told;
  bool cannot_write;
  /* Nothing more comes of it but what is in the inbox, and why. */
  bool has_ended;
  char reason[256];
};

struct vl_backend {
  struct vli_waiter waiter;
  vl_backend_options options;
  int listener;
  /* Of a unix socket, the file to be removed. */
  char path[VLI_HOST_MAX + 1];
  bool is_closed;
  int64_t accept_again_at;

  struct connection *current;
  struct connection *newcomers[NEWCOMERS];
  size_t newcomer_count;
  unsigned long begun, strays;

  struct vli_outbox outbox;
  /* When the event that was given out last had arrived. */
  int64_t event_arrival;
  /* The words of the last VL_BACKEND_DISCONNECTED. */
  char reason[256];
  pthread_t receiver;
  bool has_receiver;
};

/* ---- When things arrive ---- */

static void begin_arrivals(struct arrivals *arrivals, int64_t now) {
  *arrivals = (struct arrivals){.looked_at = now, .unread_since = VLI_NEVER, .of_first = now, .of_others = now};
}

/* The connection is about to be read, or was just waited for. */
static void look(const vl_backend *backend, struct arrivals *arrivals, int64_t now) {
  int resolution = backend->options.stop_resolution;
  /* Twice, because a wait may end a little late. */
  if (resolution > 0 && now - arrivals->looked_at > 2 * (int64_t)resolution) {
    if (arrivals->unread_since > arrivals->looked_at) arrivals->unread_since = arrivals->looked_at;
  }
  arrivals->looked_at = now;
}

/* Something was read behind what the inbox had. */
static void note_arrival(struct arrivals *arrivals, bool had_some, bool is_all) {
  if (had_some && !arrivals->has_first) arrivals->of_first = arrivals->of_others;
  arrivals->has_first = had_some;
  arrivals->of_others = arrivals->unread_since != VLI_NEVER ? arrivals->unread_since : arrivals->looked_at;
  if (is_all) arrivals->unread_since = VLI_NEVER;
}

/* When the packet at the front of the inbox arrived, which is taken out. */
static int64_t take_arrival(struct arrivals *arrivals) {
  bool had_first = arrivals->has_first;
  arrivals->has_first = false;
  return had_first ? arrivals->of_first : arrivals->of_others;
}

/* ---- Connections ---- */

static bool has_room(const vl_backend *backend, const struct connection *connection) {
  size_t size = vli_inbox_size(&connection->inbox);
  return size < backend->options.receive_limit || size < connection->needed || connection->cannot_write;
}

static void watch(vl_backend *backend, struct connection *connection) {
  if (connection->socket < 0) return;
  bool is_current = connection == backend->current;
  bool input = is_current ? has_room(backend, connection) : !connection->is_valid;
  bool output = is_current && !connection->cannot_write && vli_outbox_size(&backend->outbox) > 0;
  if (input == connection->watches_input && output == connection->watches_output) return;
  connection->watches_input = input;
  connection->watches_output = output;
  vli_waiter_change(&backend->waiter, connection->socket, input, output);
}

static void close_socket(vl_backend *backend, struct connection *connection) {
  if (connection->socket < 0) return;
  vli_waiter_remove(&backend->waiter, connection->socket);
  vli_hang_up(connection->socket);
  connection->socket = -1;
}

static void free_connection(vl_backend *backend, struct connection *connection) {
  if (!connection) return;
  close_socket(backend, connection);
  vli_inbox_destroy(&connection->inbox);
  free(connection);
}

static void remove_newcomer(vl_backend *backend, size_t index) {
  backend->newcomer_count--;
  size_t after = backend->newcomer_count - index;
  memmove(&backend->newcomers[index], &backend->newcomers[index + 1], after * sizeof *backend->newcomers);
}

static void drop_newcomer(vl_backend *backend, size_t index) {
  free_connection(backend, backend->newcomers[index]);
  remove_newcomer(backend, index);
}

/* The current connection brings nothing more. */
static void end_current(vl_backend *backend, const char *reason) {
  struct connection *current = backend->current;
  close_socket(backend, current);
  current->has_ended = true;
  snprintf(current->reason, sizeof current->reason, "%s", reason);
  /* It was meant for this connection; the next may be that of a relay that knows nobody of it. */
  vli_outbox_clear(&backend->outbox);
  vli_waiter_tell(&backend->waiter);
}

static void end_current_lost(vl_backend *backend, int error) {
  char words[128], reason[256];
  snprintf(reason, sizeof reason, "lost: %s", strerror_r(error, words, sizeof words));
  end_current(backend, reason);
}

/* ---- Newcomers ---- */

static void accept_one(vl_backend *backend, int socket) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (!connection || vli_waiter_add(&backend->waiter, socket, true, false)) {
    free(connection);
    close(socket);
    return;
  }
  if (backend->newcomer_count == NEWCOMERS) drop_newcomer(backend, 0);
  connection->socket = socket;
  connection->watches_input = true;
  connection->accepted_at = connection->last_read = vli_now();
  vli_inbox_init(&connection->inbox, NEWCOMER_READ_SIZE);
  vl_backend_codec_init(&connection->codec, backend->options.max_packet_size);
  backend->newcomers[backend->newcomer_count++] = connection;
}

static void accept_all(vl_backend *backend) {
  for (;;) {
    int socket = vli_accept(backend->listener, backend->options.dead_after);
    if (socket >= 0) {
      accept_one(backend, socket);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      /* The listener stays ready, and would not let anybody wait. */
      vli_waiter_change(&backend->waiter, backend->listener, false, false);
      backend->accept_again_at = vli_now() + ACCEPT_PAUSE;
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      return;
    }
    /* Else that connection has ended before it was taken. */
  }
}

enum look { SILENT, INCOMPLETE, VALID, INVALID };

/* What a newcomer has shown so far. */
static enum look look_at(const vl_backend *backend, const struct connection *connection, size_t *needed) {
  const unsigned char *bytes = vli_inbox_bytes(&connection->inbox);
  size_t size = vli_inbox_size(&connection->inbox), data_size = 0;
  size_t maximum = backend->options.max_packet_size + VLI_TAG;
  if (!bytes || size == 0) return SILENT;
  if (size >= 4 && (vli_get32(bytes) < VLI_TAG || vli_get32(bytes) > maximum)) return INVALID;
  if (size >= 13 && !vli_backend_flag_is_valid(bytes[12])) return INVALID;
  return vli_frame_look(bytes, size, maximum, &data_size, needed) == VLI_FRAME_WHOLE ? VALID : INCOMPLETE;
}

/* Reads a newcomer until it is valid; drops one that is no relay. */
static void read_newcomer(vl_backend *backend, size_t index) {
  struct connection *connection = backend->newcomers[index];
  if (connection->is_valid) {
    /* It is not read until its turn, so that this is a reset: a relay that goes on dials again. */
    drop_newcomer(backend, index);
    return;
  }
  for (;;) {
    switch (look_at(backend, connection, &connection->needed)) {
      case VALID:
        connection->is_valid = true;
        watch(backend, connection);
        return;
      case INVALID:
        backend->strays++;
        drop_newcomer(backend, index);
        return;
      default:
        break;
    }
    switch (vli_stream_read(connection->socket, &connection->inbox, connection->needed)) {
      case VLI_IO_DONE: break;
      case VLI_IO_AGAIN: return;
      default:
        if (vli_inbox_size(&connection->inbox) > 0) backend->strays++;
        drop_newcomer(backend, index);
        return;
    }
  }
}

/* Takes the next connection where there is no current one: those that have shown themselves in their order, else the
 * newest of those that say nothing, as the older ones are more likely to be left over. */
static void adopt(vl_backend *backend) {
  if (backend->current || backend->newcomer_count == 0) return;
  size_t chosen = NEWCOMERS;
  for (size_t i = 0; i < backend->newcomer_count && chosen == NEWCOMERS; i++) {
    if (backend->newcomers[i]->is_valid) chosen = i;
  }
  if (chosen == NEWCOMERS) {
    size_t newest = backend->newcomer_count - 1;
    struct connection *connection = backend->newcomers[newest];
    bool is_silent = vli_inbox_size(&connection->inbox) == 0;
    if (!is_silent || vli_now() < connection->accepted_at + SILENCE) return;
    chosen = newest;
  }
  struct connection *current = backend->newcomers[chosen];
  remove_newcomer(backend, chosen);
  backend->current = current;
  current->number = ++backend->begun;
  current->needed = 0;
  current->last_read = vli_now();
  begin_arrivals(&current->arrivals, current->accepted_at);
  current->inbox.usual_capacity = READ_SIZE;
  watch(backend, current);
  vli_waiter_tell(&backend->waiter);
}

static bool is_awaited(const vl_backend *backend) {
  for (size_t i = 0; i < backend->newcomer_count; i++) {
    if (backend->newcomers[i]->is_valid) return true;
  }
  return false;
}

/* ---- What can be done now ---- */

/* VL_OK, or VL_E_MEMORY. `*progress`: something came, or it ended. */
static int read_current(vl_backend *backend, bool *progress) {
  struct connection *current = backend->current;
  *progress = false;
  if (!current || current->has_ended || !has_room(backend, current)) return VL_OK;
  bool had_some = vli_inbox_size(&current->inbox) > 0;
  look(backend, &current->arrivals, vli_now());
  switch (vli_stream_read(current->socket, &current->inbox, current->needed)) {
    case VLI_IO_AGAIN:
      current->arrivals.unread_since = VLI_NEVER;
      return VL_OK;
    case VLI_IO_MEMORY:
      return vli_fail(VL_E_MEMORY, "out of memory");
    case VLI_IO_DONE:
      *progress = true;
      /* A read that leaves room has taken everything there was. */
      note_arrival(&current->arrivals, had_some, current->inbox.end < current->inbox.capacity);
      /* Its age matters only while somebody waits for its place. */
      if (backend->newcomer_count > 0) current->last_read = vli_now();
      return VL_OK;
    case VLI_IO_END:
      *progress = true;
      end_current(backend, "closed by the relay");
      return VL_OK;
    default:
      *progress = true;
      end_current_lost(backend, errno);
      return VL_OK;
  }
}

static void write_queued(vl_backend *backend) {
  struct connection *current = backend->current;
  if (!current || current->has_ended || current->cannot_write || vli_outbox_size(&backend->outbox) == 0) return;
  enum vli_io result = vli_stream_write(current->socket, &backend->outbox);
  /* What can be read says how it ended. */
  if (result == VLI_IO_LOST) current->cannot_write = true;
  if (result != VLI_IO_AGAIN) vli_waiter_tell(&backend->waiter);
}

/* When the current connection has brought nothing for so long that a newcomer takes its place; never, where none waits
 * or where it could not bring anything. */
static int64_t replacement_time(const vl_backend *backend) {
  const struct connection *current = backend->current;
  if (!current || current->has_ended || !has_room(backend, current) || !is_awaited(backend)) return VLI_NEVER;
  return current->last_read + FINISHING;
}

static int64_t silence_ends(const vl_backend *backend) {
  if (backend->current || backend->newcomer_count == 0) return VLI_NEVER;
  const struct connection *newest = backend->newcomers[backend->newcomer_count - 1];
  return vli_inbox_size(&newest->inbox) == 0 ? newest->accepted_at + SILENCE : VLI_NEVER;
}

static int64_t earlier(int64_t one, int64_t other) {
  return one < other ? one : other;
}

static void process_timers(vl_backend *backend) {
  if (backend->accept_again_at && vli_now() >= backend->accept_again_at) {
    backend->accept_again_at = 0;
    vli_waiter_change(&backend->waiter, backend->listener, true, false);
  }
  adopt(backend);
  int64_t replacement = replacement_time(backend);
  if (replacement != VLI_NEVER && vli_now() >= replacement) {
    end_current(backend, "replaced by a newer connection; it was still open, and silent");
  }
}

static void await(vl_backend *backend) {
  int64_t deadline = earlier(replacement_time(backend), silence_ends(backend));
  if (backend->accept_again_at) deadline = earlier(deadline, backend->accept_again_at);
  vli_waiter_set_timer(&backend->waiter, deadline);
  if (backend->current) watch(backend, backend->current);
}

static int process_descriptor(vl_backend *backend, int descriptor) {
  bool progress;
  if (descriptor == backend->listener) {
    size_t before = backend->newcomer_count;
    accept_all(backend);
    if (backend->newcomer_count > before && backend->current) backend->current->last_read = vli_now();
    return VL_OK;
  }
  if (backend->current && descriptor == backend->current->socket) {
    write_queued(backend);
    return read_current(backend, &progress);
  }
  for (size_t i = 0; i < backend->newcomer_count; i++) {
    if (backend->newcomers[i]->socket != descriptor) continue;
    bool was_awaited = is_awaited(backend);
    read_newcomer(backend, i);
    /* From now on it counts how long the current one brings nothing. */
    if (!was_awaited && is_awaited(backend) && backend->current) backend->current->last_read = vli_now();
    break;
  }
  return VL_OK;
}

/* After a wait. Where another thread polls, that does it. */
static int process_ready(vl_backend *backend) {
  if (backend->waiter.is_polling || backend->is_closed) return VL_OK;
  int failure = backend->waiter.ready >= 0 ? process_descriptor(backend, backend->waiter.ready) : VL_OK;
  backend->waiter.ready = -1;
  process_timers(backend);
  await(backend);
  return failure;
}

/* Whatever is ready. */
static int process_all(vl_backend *backend) {
  struct epoll_event events[NEWCOMERS + 4];
  int failure = VL_OK;
  if (backend->waiter.is_polling || backend->is_closed) return VL_OK;
  write_queued(backend);
  int count = epoll_wait(backend->waiter.epoll, events, NEWCOMERS + 4, 0);
  for (int i = 0; i < count; i++) {
    int result = process_descriptor(backend, events[i].data.fd);
    if (result) failure = result;
  }
  process_timers(backend);
  await(backend);
  return failure;
}

/* ---- Made and freed ---- */

static int check_options(vl_backend_options *options, const vl_backend_options *given) {
  static const vl_backend_options defaults = VL_BACKEND_OPTIONS;
  *options = defaults;
  if (given) {
    size_t size = given->struct_size;
    if (size == 0) return vli_fail(VL_E_ARGUMENT, "the options do not begin with VL_BACKEND_OPTIONS");
    memcpy(options, given, size < sizeof *options ? size : sizeof *options);
  }
  if (options->max_packet_size == 0 || options->max_packet_size > UINT32_MAX - (13 + 5 + 8 * VL_MULTICAST_IDS)) {
    return vli_fail(VL_E_ARGUMENT, "max_packet_size is no size for packets");
  }
  if (options->stop_resolution < 0) return vli_fail(VL_E_ARGUMENT, "stop_resolution is no time");
  if (options->send_limit == 0) options->send_limit = 1;
  if (options->receive_limit == 0) options->receive_limit = 1;
  return VL_OK;
}

/* Waits until the name is looked up, or the time has passed. The thread that looks it up lives on by itself then. */
static int await_address(
    struct vli_resolver *resolver, int timeout, const char *text, struct vli_socket_addresses *addresses) {
  int failure;
  int64_t deadline = vli_deadline(timeout);
  struct pollfd poller = {.fd = vli_resolver_descriptor(resolver), .events = POLLIN};
  while (!vli_resolver_finish(resolver, &failure, addresses)) {
    int64_t left = deadline == VLI_NEVER ? -1 : deadline - vli_now();
    if (deadline != VLI_NEVER && left <= 0) {
      return vli_fail(VL_E_TIMEOUT, "the address of %s was not found within %d ms", text, timeout);
    }
    if (poll(&poller, 1, left > INT32_MAX ? INT32_MAX : (int)left) < 0 && errno != EINTR) {
      return vli_fail_system(VL_E_SYSTEM, errno, "cannot wait for the address of %s", text);
    }
  }
  return failure;
}

/* Names are looked up here and now, as a backend cannot begin without. */
static int listen_at(const struct vli_address *address, const char *text, int timeout, int *descriptor) {
  struct vli_resolver *resolver;
  struct vli_socket_addresses addresses;
  int failure = vli_resolver_start(&resolver, address, &addresses);
  if (!failure && resolver) failure = await_address(resolver, timeout, text, &addresses);
  vli_resolver_free(resolver);
  if (failure) return failure;
  int error = EADDRNOTAVAIL;
  *descriptor = vli_listen(&addresses.list[0], &error);
  if (*descriptor >= 0) return VL_OK;
  return vli_fail_system(VL_E_UNREACHABLE, error, "cannot listen on %s", text);
}

static void free_backend(vl_backend *backend) {
  free_connection(backend, backend->current);
  while (backend->newcomer_count > 0) drop_newcomer(backend, 0);
  if (backend->listener >= 0) {
    close(backend->listener);
    if (backend->path[0]) unlink(backend->path);
  }
  vli_outbox_destroy(&backend->outbox);
  vli_waiter_destroy(&backend->waiter);
  free(backend);
}

int vl_backend_listen(vl_backend **result, const char *address, const vl_backend_options *given) {
  *result = NULL;
  vl_backend_options options;
  struct vli_address parsed;
  int failure = check_options(&options, given);
  if (!failure) failure = vli_address_parse(&parsed, address);
  if (failure) return failure;
  vl_backend *backend = calloc(1, sizeof *backend);
  if (!backend) return vli_fail(VL_E_MEMORY, "out of memory");
  backend->options = options;
  backend->listener = -1;
  failure = vli_waiter_init(&backend->waiter);
  if (failure) {
    free(backend);
    return failure;
  }
  failure = listen_at(&parsed, address, options.lookup_timeout, &backend->listener);
  if (!failure && parsed.is_unix) snprintf(backend->path, sizeof backend->path, "%s", parsed.host);
  if (!failure && vli_waiter_add(&backend->waiter, backend->listener, true, false)) {
    failure = vli_fail_system(VL_E_SYSTEM, errno, "cannot wait for connections");
  }
  if (failure) {
    free_backend(backend);
    return failure;
  }
  *result = backend;
  return VL_OK;
}

void vl_backend_free(vl_backend *backend) {
  if (backend) free_backend(backend);
}

int vl_backend_port(vl_backend *backend) {
  struct sockaddr_storage own;
  socklen_t size = sizeof own;
  uint16_t port = 0;
  memset(&own, 0, sizeof own);
  pthread_mutex_lock(&backend->waiter.lock);
  if (backend->listener >= 0 && getsockname(backend->listener, (struct sockaddr *)&own, &size) == 0) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, &own, sizeof v4);
    memcpy(&v6, &own, sizeof v6);
    if (own.ss_family == AF_INET) port = v4.sin_port;
    if (own.ss_family == AF_INET6) port = v6.sin6_port;
  }
  pthread_mutex_unlock(&backend->waiter.lock);
  return ntohs(port);
}

/* ---- Receiving ---- */

/* The next event that needs no reading. */
static bool next_event(vl_backend *backend, vl_backend_event *event) {
  memset(event, 0, sizeof *event);
  backend->event_arrival = VLI_NEVER;
  adopt(backend);
  struct connection *current = backend->current;
  if (!current) return false;
  if (!current->is_told) {
    current->is_told = true;
    event->kind = VL_BACKEND_CONNECTED;
    event->number = current->number;
    return true;
  }
  size_t used;
  struct vli_inbox *inbox = &current->inbox;
  if (vl_backend_codec_read(&current->codec, vli_inbox_bytes(inbox), vli_inbox_size(inbox), &used, event)) {
    if (!current->has_ended) end_current(backend, vl_error_text());
    inbox->end = inbox->begin;
    event->kind = VL_BACKEND_MORE;
  }
  if (event->kind != VL_BACKEND_MORE) {
    /* What uses nothing says something about what was read before. */
    if (used > 0) backend->event_arrival = take_arrival(&current->arrivals);
    inbox->begin += used;
    inbox->is_lent = true;
    current->needed = 0;
    if (!current->watches_input) watch(backend, current);
    return true;
  }
  current->needed = event->needed;
  if (!current->has_ended) return false;
  memcpy(backend->reason, current->reason, sizeof backend->reason);
  event->kind = VL_BACKEND_DISCONNECTED;
  event->number = current->number;
  event->data = (const unsigned char *)backend->reason;
  event->size = strlen(backend->reason);
  free_connection(backend, current);
  backend->current = NULL;
  return true;
}

/* When the connection has to be looked at again, so that a stop is noticed. */
static int64_t next_look(const vl_backend *backend) {
  return backend->options.stop_resolution > 0 ? vli_now() + backend->options.stop_resolution : VLI_NEVER;
}

int vl_backend_receive(vl_backend *backend, vl_backend_event *event, int timeout) {
  int failure = VL_OK;
  int64_t deadline = -1;
  pthread_mutex_lock(&backend->waiter.lock);
  backend->receiver = pthread_self();
  backend->has_receiver = true;
  if (backend->current) vli_inbox_take_back(&backend->current->inbox);
  while (!failure) {
    if (backend->is_closed) {
      memset(event, 0, sizeof *event);
      failure = vli_fail(VL_E_CLOSED, "the backend is closed");
      break;
    }
    if (next_event(backend, event)) break;
    if (!backend->waiter.is_polling) {
      bool progress;
      failure = read_current(backend, &progress);
      if (failure || progress) continue;
      write_queued(backend);
    }
    if (deadline < 0) deadline = vli_deadline(timeout);
    if (timeout == 0 || vli_now() >= deadline) {
      failure = process_all(backend);
      if (failure || next_event(backend, event)) break;
      failure = vli_fail(VL_E_TIMEOUT, "no event within %d ms", timeout);
    } else {
      await(backend);
      vli_waiter_wait(&backend->waiter, earlier(deadline, next_look(backend)));
      failure = process_ready(backend);
    }
  }
  pthread_mutex_unlock(&backend->waiter.lock);
  return failure;
}

int64_t vl_backend_event_age(vl_backend *backend) {
  pthread_mutex_lock(&backend->waiter.lock);
  int64_t arrival = backend->event_arrival, age = arrival == VLI_NEVER ? 0 : vli_now() - arrival;
  pthread_mutex_unlock(&backend->waiter.lock);
  return age;
}

/* ---- Sending ---- */

static bool is_connected(const vl_backend *backend) {
  return backend->current && !backend->current->has_ended;
}

static bool collects(const vl_backend *backend) {
  const struct connection *current = backend->current;
  size_t size, needed;
  return backend->options.coalesce && backend->has_receiver && pthread_equal(backend->receiver, pthread_self()) &&
         vli_outbox_size(&backend->outbox) < VLI_COLLECTED &&
         vli_frame_look(
             vli_inbox_bytes(&current->inbox), vli_inbox_size(&current->inbox),
             backend->options.max_packet_size + VLI_TAG, &size, &needed) == VLI_FRAME_WHOLE;
}

static int take_packet(vl_backend *backend, const struct iovec *pieces, int count, bool is_collected) {
  struct connection *current = backend->current;
  bool is_broken = false;
  enum vli_io result;
  if (current->cannot_write || is_collected) {
    result = vli_outbox_append(&backend->outbox, pieces, count, 0) ? VLI_IO_DONE : VLI_IO_MEMORY;
  } else {
    result = vli_stream_send(current->socket, &backend->outbox, pieces, count, &is_broken);
    if (result == VLI_IO_LOST) current->cannot_write = true;
    if (is_broken) end_current(backend, "out of memory within a packet");
    watch(backend, current);
  }
  return result == VLI_IO_MEMORY ? vli_fail(VL_E_MEMORY, "out of memory") : VL_OK;
}

static bool can_take(const vl_backend *backend) {
  return is_connected(backend) && vli_outbox_size(&backend->outbox) < backend->options.send_limit;
}

/* Waits until the kernel has what was added to the queue up to now, or the connection is lost. Where the time passes,
 * it stays queued, and leaves in a later call. */
static int wait_until_written(vl_backend *backend, int64_t deadline) {
  uint64_t mark = backend->outbox.added;
  while (backend->outbox.left < mark && is_connected(backend) && !backend->current->cannot_write) {
    write_queued(backend);
    if (backend->outbox.left >= mark || vli_now() >= deadline) break;
    await(backend);
    vli_waiter_wait(&backend->waiter, deadline);
    int failure = process_ready(backend);
    if (failure) return failure;
  }
  return VL_OK;
}

static int send_pieces(vl_backend *backend, const struct iovec *pieces, int count, int timeout) {
  int failure = VL_OK;
  int64_t deadline = -1;
  pthread_mutex_lock(&backend->waiter.lock);
  while (!failure) {
    if (backend->is_closed) {
      failure = vli_fail(VL_E_CLOSED, "the backend is closed");
      break;
    }
    if (can_take(backend)) {
      bool is_collected = collects(backend);
      failure = take_packet(backend, pieces, count, is_collected);
      if (failure || is_collected || timeout == 0 || backend->outbox.left == backend->outbox.added) break;
      failure = wait_until_written(backend, deadline < 0 ? vli_deadline(timeout) : deadline);
      break;
    }
    if (deadline < 0) deadline = vli_deadline(timeout);
    failure = process_all(backend);
    if (failure || can_take(backend)) continue;
    if (vli_now() < deadline) {
      vli_waiter_wait(&backend->waiter, deadline);
      failure = process_ready(backend);
    } else if (is_connected(backend)) {
      failure = vli_fail(VL_E_TIMEOUT, "%zu bytes wait to be sent already", vli_outbox_size(&backend->outbox));
    } else {
      failure = vli_fail(VL_E_NOT_CONNECTED, "no relay is connected");
    }
  }
  pthread_mutex_unlock(&backend->waiter.lock);
  return failure;
}

static int check_size(const vl_backend *backend, size_t size) {
  if (size <= backend->options.max_packet_size) return VL_OK;
  return vli_fail(
      VL_E_TOO_LARGE, "a packet of %zu bytes where %zu are allowed", size, backend->options.max_packet_size);
}

/* Nothing is written through the pointer. */
static struct iovec piece(const void *bytes, size_t size) {
  return (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
}

static int send_tagged(
    vl_backend *backend, uint64_t client_id, int flag, const void *data, size_t size, int timeout) {
  unsigned char header[VL_TAGGED_HEADER_SIZE];
  int failure = check_size(backend, size);
  if (failure) return failure;
  vl_put_tagged_header(header, client_id, flag, size);
  const struct iovec pieces[2] = {piece(header, sizeof header), piece(data, size)};
  return send_pieces(backend, pieces, 2, timeout);
}

int vl_backend_send(vl_backend *backend, uint64_t client_id, const void *data, size_t size, int timeout) {
  return send_tagged(backend, client_id, VL_FLAG_DATA, data, size, timeout);
}

int vl_backend_send_volatile(vl_backend *backend, uint64_t client_id, const void *data, size_t size, int timeout) {
  return send_tagged(backend, client_id, VL_FLAG_VOLATILE, data, size, timeout);
}

int vl_backend_kick(vl_backend *backend, uint64_t client_id, int timeout) {
  return send_tagged(backend, client_id, VL_FLAG_KICK, NULL, 0, timeout);
}

/* Sends to as many ids as one packet may have. */
static int multicast_part(
    vl_backend *backend, int kind, const uint64_t *ids, size_t id_count, const void *data, size_t size, int timeout) {
  unsigned char header[VL_MULTICAST_HEADER_SIZE];
  vl_put_multicast_header(header, kind, id_count, size);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  /* They lie in memory as they go over the wire. */
  const struct iovec pieces[3] = {
      piece(header, sizeof header), piece(ids, id_count * sizeof *ids), piece(data, size)};
  return send_pieces(backend, pieces, 3, timeout);
#else
  unsigned char *bytes = malloc(id_count * 8 + 1);
  if (!bytes) return vli_fail(VL_E_MEMORY, "out of memory");
  vl_put_ids(bytes, ids, id_count);
  const struct iovec pieces[3] = {piece(header, sizeof header), piece(bytes, id_count * 8), piece(data, size)};
  int failure = send_pieces(backend, pieces, 3, timeout);
  free(bytes);
  return failure;
#endif
}

int vl_backend_multicast(
    vl_backend *backend, int kind, const uint64_t *client_ids, size_t id_count, const void *data, size_t size,
    int timeout) {
  int failure = check_size(backend, size);
  if (kind != VL_FLAG_DATA && kind != VL_FLAG_VOLATILE) {
    failure = vli_fail(VL_E_ARGUMENT, "%d is no kind of packet for a multicast", kind);
  }
  while (!failure && id_count > 0) {
    size_t count = id_count < VL_MULTICAST_IDS ? id_count : VL_MULTICAST_IDS;
    failure = multicast_part(backend, kind, client_ids, count, data, size, timeout);
    client_ids += count;
    id_count -= count;
  }
  return failure;
}

int vl_backend_flush(vl_backend *backend, int timeout) {
  int failure = VL_OK;
  int64_t deadline = vli_deadline(timeout);
  pthread_mutex_lock(&backend->waiter.lock);
  unsigned long number = backend->current ? backend->current->number : 0;
  while (!failure) {
    if (backend->is_closed) {
      failure = vli_fail(VL_E_CLOSED, "the backend is closed");
      break;
    }
    if (!is_connected(backend) || backend->current->number != number) {
      failure = vli_fail(VL_E_NOT_CONNECTED, "the connection was lost before all was sent");
      break;
    }
    write_queued(backend);
    if (vli_outbox_size(&backend->outbox) == 0) break;
    if (vli_now() >= deadline) {
      failure = vli_fail(VL_E_TIMEOUT, "%zu bytes still wait to be sent", vli_outbox_size(&backend->outbox));
    } else {
      await(backend);
      vli_waiter_wait(&backend->waiter, deadline);
      failure = process_ready(backend);
    }
  }
  pthread_mutex_unlock(&backend->waiter.lock);
  return failure;
}

/* ---- The rest ---- */

void vl_backend_close(vl_backend *backend) {
  pthread_mutex_lock(&backend->waiter.lock);
  if (!backend->is_closed) {
    backend->is_closed = true;
    while (backend->newcomer_count > 0) drop_newcomer(backend, 0);
    if (backend->current && !backend->current->has_ended) end_current(backend, "the backend is closed");
    vli_waiter_remove(&backend->waiter, backend->listener);
    close(backend->listener);
    backend->listener = -1;
    if (backend->path[0]) unlink(backend->path);
    vli_waiter_set_timer(&backend->waiter, VLI_NEVER);
    vli_waiter_wake(&backend->waiter);
  }
  pthread_mutex_unlock(&backend->waiter.lock);
}

size_t vl_backend_unsent(vl_backend *backend) {
  pthread_mutex_lock(&backend->waiter.lock);
  size_t size = vli_outbox_size(&backend->outbox);
  pthread_mutex_unlock(&backend->waiter.lock);
  return size;
}

unsigned long vl_backend_strays(vl_backend *backend) {
  pthread_mutex_lock(&backend->waiter.lock);
  unsigned long count = backend->strays;
  pthread_mutex_unlock(&backend->waiter.lock);
  return count;
}

int vl_backend_fd(vl_backend *backend) {
  return backend->waiter.epoll;
}

int vl_backend_process(vl_backend *backend) {
  pthread_mutex_lock(&backend->waiter.lock);
  int failure = backend->is_closed ? vli_fail(VL_E_CLOSED, "the backend is closed") : process_all(backend);
  pthread_mutex_unlock(&backend->waiter.lock);
  return failure;
}
