/* The backend peer of the interop tests. */
#include <arpa/inet.h>

#include "peer.h"

static vl_backend *backend;

static uint64_t id_of(const char *text) {
  return strtoull(text, NULL, 16);
}

static void listen_on(const char *address) {
  vl_backend_free(backend);
  backend = NULL;
  int failure = vl_backend_listen(&backend, address, NULL);
  if (failure) {
    reply_error(failure);
  } else {
    printf("ok %d", vl_backend_port(backend));
    reply("");
  }
}

static void reply_address(const vl_backend_event *event) {
  char host[INET6_ADDRSTRLEN] = "-";
  if (event->address.family) {
    inet_ntop(event->address.family == 4 ? AF_INET : AF_INET6, event->address.bytes, host, sizeof host);
  }
  printf("address %016" PRIx64 " %d %s %d", event->client_id, event->address.family, host, event->address.port);
  reply("");
}

static void receive(int timeout) {
  vl_backend_event event;
  int failure;
  while ((failure = vl_backend_receive(backend, &event, timeout)) == VL_OK) {
    switch (event.kind) {
      case VL_BACKEND_DATA:
        printf("data %016" PRIx64 " %zu %08" PRIx32, event.client_id, event.size, crc32_of(event.data, event.size));
        reply("");
        return;
      case VL_BACKEND_FAILURE:
        printf("failure %016" PRIx64 " %.*s", event.client_id, (int)event.size, (const char *)event.data);
        reply("");
        return;
      case VL_BACKEND_RECONNECTION:
      case VL_BACKEND_AWAY:
        printf("%s %016" PRIx64, event.kind == VL_BACKEND_AWAY ? "away" : "reconnection", event.client_id);
        reply("");
        return;
      case VL_BACKEND_ADDRESS:
        reply_address(&event);
        return;
      default:
        /* Not reported; what follows has its own time. */
        break;
    }
  }
  if (failure == VL_E_TIMEOUT) {
    reply("timeout");
  } else {
    reply_error(failure);
  }
}

static void send_data(char *line, int is_volatile) {
  uint64_t id = id_of(next_word(&line));
  size_t size = 0;
  unsigned char *bytes = data_of(line, &size);
  if (!bytes) {
    reply("error other no data");
  } else if (is_volatile) {
    reply_ok_or(vl_backend_send_volatile(backend, id, bytes, size, 30000));
  } else {
    reply_ok_or(vl_backend_send(backend, id, bytes, size, 30000));
  }
  free(bytes);
}

static void multicast(char *line) {
  int kind = strcmp(next_word(&line), "volatile") == 0 ? VL_FLAG_VOLATILE : VL_FLAG_DATA;
  char *list = next_word(&line);
  size_t size = 0, count = 0;
  unsigned char *bytes = data_of(line, &size);
  uint64_t *ids = malloc((strlen(list) / 17 + 1) * sizeof *ids);
  for (char *id = strtok(list, ","); id && ids; id = strtok(NULL, ",")) ids[count++] = id_of(id);
  if (bytes && ids) {
    reply_ok_or(vl_backend_multicast(backend, kind, ids, count, bytes, size, 30000));
  } else {
    reply("error other no data");
  }
  free(bytes);
  free(ids);
}

int main(void) {
  static char buffer[LINE_SIZE];
  while (fgets(buffer, sizeof buffer, stdin)) {
    buffer[strcspn(buffer, "\n")] = 0;
    char *line = buffer, *command = next_word(&line);
    if (strcmp(command, "listen") == 0) {
      listen_on(line);
    } else if (!backend) {
      reply("error closed there is no backend");
    } else if (strcmp(command, "receive") == 0) {
      receive(atoi(line));
    } else if (strcmp(command, "send") == 0) {
      send_data(line, 0);
    } else if (strcmp(command, "volatile") == 0) {
      send_data(line, 1);
    } else if (strcmp(command, "multicast") == 0) {
      multicast(line);
    } else if (strcmp(command, "kick") == 0) {
      reply_ok_or(vl_backend_kick(backend, id_of(line), 30000));
    } else if (strcmp(command, "close") == 0) {
      vl_backend_flush(backend, 1000);
      vl_backend_free(backend);
      backend = NULL;
      reply("ok");
    } else {
      reply("error unsupported no such command");
    }
  }
  vl_backend_free(backend);
  return 0;
}
