#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"

struct vli_resolver {
  struct vli_address address;
  struct vli_socket_addresses result;
  /* getaddrinfo's result, and errno where that is EAI_SYSTEM. */
  int error, system_error;
  atomic_bool is_done;
  /* The owner and the thread: whoever leaves last frees it. */
  atomic_int holders;
  int descriptor;
};

static int look_up(
    const struct vli_address *address, int flags, struct vli_socket_addresses *result) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
  struct addrinfo *list = NULL;
  int error = getaddrinfo(address->host, address->port, &hints, &list);
  if (error) return error;
  result->count = 0;
  for (struct addrinfo *entry = list; entry && result->count < VLI_SOCKET_ADDRESSES; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof result->list[0].storage) continue;
    memcpy(&result->list[result->count].storage, entry->ai_addr, entry->ai_addrlen);
    result->list[result->count++].size = entry->ai_addrlen;
  }
  freeaddrinfo(list);
  return 0;
}

static void *run(void *argument) {
  struct vli_resolver *self = argument;
  self->error = look_up(&self->address, AI_ADDRCONFIG, &self->result);
  self->system_error = errno;
  atomic_store(&self->is_done, true);
  uint64_t one = 1;
  /* Cannot fail: the counter is far from full. */
  if (write(self->descriptor, &one, sizeof one) < 0) abort();
  vli_resolver_free(self);
  return NULL;
}

static int start_thread(struct vli_resolver *self) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, old;
  int error = pthread_attr_init(&attributes);
  if (error) return error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  /* The program's signals are no business of this thread. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  error = pthread_create(&thread, &attributes, run, self);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

int vli_resolver_start(
    struct vli_resolver **resolver, const struct vli_address *address, struct vli_socket_addresses *result) {
  *resolver = NULL;
  if (address->is_unix) {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    memcpy(path.sun_path, address->host, strlen(address->host));
    memcpy(&result->list[0].storage, &path, sizeof path);
    result->list[0].size = sizeof path;
    result->count = 1;
    return VL_OK;
  }
  if (look_up(address, AI_NUMERICHOST, result) == 0) return VL_OK;
  struct vli_resolver *self = calloc(1, sizeof *self);
  if (!self) return vli_fail(VL_E_MEMORY, "out of memory");
  self->address = *address;
  atomic_store(&self->holders, 2);
  self->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = self->descriptor < 0 ? errno : start_thread(self);
  if (error) {
    if (self->descriptor >= 0) close(self->descriptor);
    free(self);
    return vli_fail_system(VL_E_SYSTEM, error, "cannot look up %s", address->host);
  }
  *resolver = self;
  return VL_OK;
}

int vli_resolver_descriptor(const struct vli_resolver *resolver) {
  return resolver->descriptor;
}

bool vli_resolver_finish(struct vli_resolver *self, int *failure, struct vli_socket_addresses *result) {
  if (!atomic_load(&self->is_done)) return false;
  *result = self->result;
  *failure = VL_OK;
  if (self->error == EAI_SYSTEM) {
    *failure = vli_fail_system(VL_E_UNREACHABLE, self->system_error, "cannot look up %s", self->address.host);
  } else if (self->error || self->result.count == 0) {
    const char *reason = self->error ? gai_strerror(self->error) : "the name has no address";
    *failure = vli_fail(VL_E_UNREACHABLE, "cannot look up %s: %s", self->address.host, reason);
  }
  return true;
}

void vli_resolver_free(struct vli_resolver *self) {
  if (!self || atomic_fetch_sub(&self->holders, 1) > 1) return;
  close(self->descriptor);
  free(self);
}
