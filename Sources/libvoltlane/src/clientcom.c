/* The earlier C client's interface, on top of the present client. */
#include <stdlib.h>
#include <voltlane/client.h>
#include <voltlane/clientcom.h>

#include "error.h"

struct connection {
  vl_client *client;
  int timeout;
};

static struct connection *inner(vl_connection *connection) {
  return connection;
}

vl_connection *vl_connection_new(const char *address) {
  /* Its programs come back themselves, by vl_connection_reconnect(), and expect a packet to be on its way once sent. */
  vl_client_options options = VL_CLIENT_OPTIONS;
  options.reconnect = 0;
  options.coalesce = 0;
  struct connection *connection = calloc(1, sizeof *connection);
  if (!connection) {
    vli_fail(VL_E_MEMORY, "out of memory");
    return NULL;
  }
  connection->timeout = -1;
  if (vl_client_connect(&connection->client, address, &options)) {
    free(connection);
    return NULL;
  }
  return connection;
}

void vl_connection_free(vl_connection *connection) {
  if (!connection) return;
  vl_client_free(inner(connection)->client);
  free(connection);
}

static int fail_null(void) {
  return vli_fail(VL_E_ARGUMENT, "there is no connection");
}

vl_message vl_connection_recv(vl_connection *connection) {
  vl_message message = {0};
  vl_packet packet;
  if (!connection) {
    fail_null();
  } else if (vl_client_receive(inner(connection)->client, &packet, inner(connection)->timeout) == VL_OK) {
    /* Not const in that interface. */
    message.data = (char *)(uintptr_t)packet.data;
    message.size = packet.size;
  }
  return message;
}

int vl_connection_send(vl_connection *connection, const char *data, size_t size) {
  if (!connection) return fail_null(), -1;
  if (!data && size > 0) return vli_fail(VL_E_ARGUMENT, "there is no data"), -1;
  struct connection *self = inner(connection);
  /* Waits until the kernel has it, so that freeing the connection next does not lose it. */
  return vl_client_send(self->client, data, size, self->timeout) ? -1 : 0;
}

int vl_connection_reconnect(vl_connection *connection) {
  if (!connection) return fail_null(), -1;
  return vl_client_reconnect(inner(connection)->client, inner(connection)->timeout) ? -1 : 0;
}

const char *vl_get_last_error(void) {
  return vl_error_text();
}

unsigned long long vl_connection_id(vl_connection *connection) {
  return connection ? vl_client_id(inner(connection)->client) : 0;
}

void vl_connection_set_timeout(vl_connection *connection, int timeout) {
  if (connection) inner(connection)->timeout = timeout;
}
