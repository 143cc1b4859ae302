/* Sends every packet back: the smallest backend. It is the one of the README, and the one that is measured.
 *
 *     build/examples/echo_backend 127.0.0.1:42001 */
#include <stdio.h>
#include <voltlane/backend.h>

int main(int count, char **arguments) {
  vl_backend *backend;
  if (vl_backend_listen(&backend, count > 1 ? arguments[1] : "127.0.0.1:42001", NULL)) {
    fprintf(stderr, "echo_backend: %s\n", vl_error_text());
    return 69;
  }
  vl_backend_event event;
  while (vl_backend_receive(backend, &event, -1) == VL_OK) {
    if (event.kind == VL_BACKEND_DATA) {
      vl_backend_send(backend, event.client_id, event.data, event.size, -1);
    }
  }
  fprintf(stderr, "echo_backend: %s\n", vl_error_text());
  vl_backend_free(backend);
  return 74;
}
