/* How many packets a second: sends packets through a relay whose backend sends them back, with a bounded number on
 * their way at a time.
 *
 *     build/examples/echo_backend 127.0.0.1:42001
 *     voltlane --listen 127.0.0.1:42000 --backend 127.0.0.1:42001
 *     build/examples/measure 127.0.0.1:42000 [PACKETS [SIZE [WINDOW]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <voltlane/client.h>

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(void) {
  fprintf(stderr, "measure: %s\n", vl_error_text());
  exit(1);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: %s ADDRESS [PACKETS [SIZE [WINDOW]]]\n", arguments[0]);
    return 64;
  }
  long packets = count > 2 ? atol(arguments[2]) : 1000000;
  size_t size = count > 3 ? (size_t)atol(arguments[3]) : 64;
  long window = count > 4 ? atol(arguments[4]) : 1000;
  unsigned char *data = calloc(1, size + 1);
  vl_client *client;
  if (!data || vl_client_connect(&client, arguments[1], NULL)) fail();

  double begin = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  for (long sent = 0, received = 0; received < packets;) {
    while (sent < packets && sent - received < window) {
      if (vl_client_send(client, data, size, -1)) fail();
      sent++;
    }
    vl_packet packet;
    if (vl_client_receive(client, &packet, 10000)) fail();
    if (packet.size != size || memcmp(packet.data, data, size) != 0) return 1;
    received++;
  }
  double time = seconds(CLOCK_MONOTONIC) - begin;
  cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  printf("echo: %.0f packets/s of %zu bytes; the client took %.2f us of CPU a packet\n", (double)packets / time, size,
         cpu / (double)packets * 1e6);
  vl_client_free(client);
  free(data);
  return 0;
}
