/* The client peer of the interop tests. */
#include "peer.h"

static vl_client *client;

static void connect_as(const char *address, const vl_session *session, const char *mode) {
  vl_client_options options = VL_CLIENT_OPTIONS;
  options.reconnect = strcmp(mode, "auto") == 0;
  options.first_delay = 50;
  options.last_delay = 500;
  options.connect_timeout = 30000;
  vl_client_free(client);
  client = NULL;
  int failure = session ? vl_client_resume(&client, address, session, &options)
                        : vl_client_connect(&client, address, &options);
  if (failure) {
    reply_error(failure);
    return;
  }
  vl_session own;
  vl_client_session(client, &own);
  printf("ok %016" PRIx64 " ", own.client_id);
  for (size_t i = 0; i < sizeof own.relay_key; i++) printf("%02x", own.relay_key[i]);
  reply("");
}

static void resume(char *line) {
  vl_session session;
  char *address = next_word(&line), *file = next_word(&line);
  int failure = vl_session_load(&session, file, NULL);
  if (failure) {
    reply_error(failure);
  } else {
    connect_as(address, &session, line);
  }
}

static void save(const char *file) {
  vl_session session;
  int failure = vl_client_session(client, &session);
  reply_ok_or(failure ? failure : vl_session_save(&session, file));
}

static void send_data(const char *text) {
  size_t size = 0;
  unsigned char *bytes = data_of(text, &size);
  if (bytes) {
    reply_ok_or(vl_client_send(client, bytes, size, 30000));
  } else {
    reply("error other no data");
  }
  free(bytes);
}

static void receive(const char *timeout) {
  vl_packet packet;
  int failure = vl_client_receive(client, &packet, atoi(timeout));
  if (failure == VL_E_TIMEOUT) {
    reply("timeout");
  } else if (failure == VL_E_CLOSED_BY_RELAY) {
    reply("closed");
  } else if (failure) {
    reply_error(failure);
  } else {
    printf("packet %zu %08" PRIx32, packet.size, crc32_of(packet.data, packet.size));
    reply("");
  }
}

int main(void) {
  static char buffer[LINE_SIZE];
  while (fgets(buffer, sizeof buffer, stdin)) {
    buffer[strcspn(buffer, "\n")] = 0;
    char *line = buffer, *command = next_word(&line);
    if (strcmp(command, "connect") == 0) {
      char *address = next_word(&line);
      connect_as(address, NULL, line);
    } else if (strcmp(command, "resume") == 0) {
      resume(line);
    } else if (!client) {
      reply("error closed there is no client");
    } else if (strcmp(command, "save") == 0) {
      save(line);
    } else if (strcmp(command, "send") == 0) {
      send_data(line);
    } else if (strcmp(command, "receive") == 0) {
      receive(line);
    } else if (strcmp(command, "finish") == 0) {
      reply_ok_or(vl_client_finish(client, 30000));
    } else if (strcmp(command, "close") == 0) {
      vl_client_free(client);
      client = NULL;
      reply("ok");
    } else {
      reply("error unsupported no such command");
    }
  }
  vl_client_free(client);
  return 0;
}
