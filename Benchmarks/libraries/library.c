/* The C library in the loops that its users write: `library shout|send PORT`. */
#include <stdio.h>
#include <string.h>
#include <voltlane/voltlane.h>

static int shout(const char *address) {
  vl_backend *backend;
  vl_backend_event event;
  if (vl_backend_listen(&backend, address, NULL) != VL_OK) return 1;
  while (vl_backend_receive(backend, &event, -1) == VL_OK) {
    if (event.kind == VL_BACKEND_DATA) vl_backend_send(backend, event.client_id, event.data, event.size, -1);
  }
  return 1;
}

static int send(const char *address) {
  vl_client *client;
  unsigned char packet[64];
  memset(packet, 0x5a, sizeof packet);
  if (vl_client_connect(&client, address, NULL) != VL_OK) return 1;
  while (vl_client_send(client, packet, sizeof packet, -1) == VL_OK) {}
  return 1;
}

int main(int count, char **arguments) {
  char address[64];
  if (count != 3) return 64;
  snprintf(address, sizeof address, "127.0.0.1:%s", arguments[2]);
  return strcmp(arguments[1], "send") == 0 ? send(address) : shout(address);
}
