/* A lobby: whoever sends something is in it, and everybody in it sees what the others say.
 *
 *     build/examples/lobby_backend 127.0.0.1:42001
 *     voltlane --listen 127.0.0.1:42000 --backend 127.0.0.1:42001
 *
 * Packets of a client: "/name ADA" gives it a name, "/who" lists who is there, "/leave" is a goodbye, and anything else
 * is said to all. A client that is away for a while (its network is gone) keeps its place: the relay keeps what it
 * misses. When this program is killed and started again the clients stay connected: the relay names them, and they are
 * in the lobby again under the names that their ids give them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <voltlane/backend.h>

#define NAME_SIZE 24
#define TEXT_SIZE 512

/* How long a packet may wait for room on the firehose. A relay never stops reading it for a client's sake. */
#define SEND_TIMEOUT 5000

struct member {
  uint64_t id;
  char name[NAME_SIZE];
  /* Named by the relay on the present connection, or heard of since. */
  int is_confirmed;
};

/* A few hundred members are found fast enough one by one. Ids are sparse 64-bit numbers: a larger lobby takes a hash
 * table, and never an array with the id as its index. */
static struct member *members;
static size_t member_count, member_capacity;
static vl_backend *backend;

static struct member *find(uint64_t id) {
  for (size_t i = 0; i < member_count; i++) {
    if (members[i].id == id) return &members[i];
  }
  return NULL;
}

static struct member *find_or_add(uint64_t id) {
  struct member *member = find(id);
  if (!member) {
    if (member_count == member_capacity) {
      size_t capacity = member_capacity ? 2 * member_capacity : 64;
      struct member *larger = realloc(members, capacity * sizeof *members);
      if (!larger) return NULL;
      members = larger;
      member_capacity = capacity;
    }
    member = &members[member_count++];
    member->id = id;
    snprintf(member->name, sizeof member->name, "guest %04x", (unsigned)(id & 0xffff));
  }
  member->is_confirmed = 1;
  return member;
}

static void say_to(uint64_t id, const char *text, size_t size) {
  int failure = vl_backend_send(backend, id, text, size, SEND_TIMEOUT);
  /* The relay tells of clients that are gone, and dials again where the connection is lost. */
  if (failure) fprintf(stderr, "not sent: %s\n", vl_error_text());
}

__attribute__((format(printf, 1, 2))) static void say_to_all(const char *format, ...) {
  char text[TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (size >= (int)sizeof text) size = sizeof text - 1;
  /* For hundreds of members vl_backend_multicast() sends the packet to the relay once. */
  for (size_t i = 0; i < member_count; i++) say_to(members[i].id, text, (size_t)size);
}

static void remove_member(uint64_t id, const char *reason, size_t size) {
  struct member *member = find(id);
  /* An answer for somebody who was gone already. */
  if (!member) return;
  char name[NAME_SIZE];
  memcpy(name, member->name, sizeof name);
  *member = members[--member_count];
  say_to_all("%s has left (%.*s)", name, (int)size, reason);
}

static void tell_who(uint64_t id) {
  char text[TEXT_SIZE];
  size_t size = 0;
  for (size_t i = 0; i < member_count && size < sizeof text - 2 * NAME_SIZE; i++) {
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", i ? ", " : "", members[i].name);
  }
  say_to(id, text, size);
}

static void hear(const vl_backend_event *event) {
  int is_new = find(event->client_id) == NULL;
  struct member *member = find_or_add(event->client_id);
  if (!member) return;
  if (is_new) say_to_all("%s is here", member->name);
  char text[TEXT_SIZE - NAME_SIZE - 8];
  size_t size = event->size < sizeof text - 1 ? event->size : sizeof text - 1;
  memcpy(text, event->data, size);
  text[size] = 0;
  if (strncmp(text, "/name ", 6) == 0 && text[6]) {
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%.*s", NAME_SIZE - 1, text + 6);
    say_to_all("%s is now %s", member->name, name);
    memcpy(member->name, name, sizeof name);
  } else if (strcmp(text, "/who") == 0) {
    tell_who(event->client_id);
  } else if (strcmp(text, "/leave") == 0) {
    /* A client has no way to end its session by itself; so the backend does it, and hears of it as a failure. */
    vl_backend_kick(backend, event->client_id, SEND_TIMEOUT);
  } else {
    say_to_all("%s: %s", member->name, text);
  }
}

static void forget_all(void) {
  for (size_t i = 0; i < member_count; i++) members[i].is_confirmed = 0;
}

/* The relay has named everybody who is there; the others ended while no connection told of it. */
static void remove_unconfirmed(void) {
  for (size_t i = 0; i < member_count;) {
    if (members[i].is_confirmed) {
      i++;
    } else {
      remove_member(members[i].id, "gone", 4);
    }
  }
}

int main(int count, char **arguments) {
  const char *address = count > 1 ? arguments[1] : "127.0.0.1:42001";
  if (vl_backend_listen(&backend, address, NULL)) {
    fprintf(stderr, "lobby_backend: %s\n", vl_error_text());
    return 69;
  }
  fprintf(stderr, "listening on %s\n", address);
  vl_backend_event event;
  while (vl_backend_receive(backend, &event, -1) == VL_OK) {
    switch (event.kind) {
      case VL_BACKEND_CONNECTED:
        fprintf(stderr, "the relay is connected\n");
        forget_all();
        break;
      case VL_BACKEND_DISCONNECTED:
        fprintf(stderr, "the relay is gone: %.*s\n", (int)event.size, (const char *)event.data);
        break;
      case VL_BACKEND_ANNOUNCED: remove_unconfirmed(); break;
      case VL_BACKEND_RECONNECTION: find_or_add(event.client_id); break;
      case VL_BACKEND_DATA: hear(&event); break;
      case VL_BACKEND_FAILURE: remove_member(event.client_id, (const char *)event.data, event.size); break;
      default: break;
    }
  }
  fprintf(stderr, "lobby_backend: %s\n", vl_error_text());
  vl_backend_free(backend);
  free(members);
  return 74;
}
