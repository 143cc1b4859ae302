/* Sends each line of its input as a packet, and prints each packet that comes. Coming back after a lost connection goes
 * by itself. With a second argument the session is kept in that file, and goes on when the program is started again.
 *
 *     build/examples/echo_client 127.0.0.1:42000 [SESSION-FILE] */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <voltlane/client.h>

/* How long to wait for further packets after the end of the input. */
#define LINGER 1000

static int fail(const char *what) {
  fprintf(stderr, "echo_client: %s: %s\n", what, vl_error_text());
  return 1;
}

/* Prints all packets that are there. */
static int print_packets(vl_client *client, int timeout) {
  vl_packet packet;
  int failure;
  while ((failure = vl_client_receive(client, &packet, timeout)) == VL_OK) {
    fwrite(packet.data, 1, packet.size, stdout);
    putchar('\n');
  }
  fflush(stdout);
  return failure;
}

int main(int count, char **arguments) {
  if (count < 2 || count > 3) {
    fprintf(stderr, "usage: %s ADDRESS [SESSION-FILE]\n", arguments[0]);
    return 64;
  }
  vl_client *client;
  int failure = count == 3 ? vl_client_open(&client, arguments[1], arguments[2], NULL, NULL)
                           : vl_client_connect(&client, arguments[1], NULL);
  if (failure) return fail("cannot connect");
  fprintf(stderr, "client %016" PRIx64 "\n", vl_client_id(client));

  /* One thread, two things to wait for: the input, and the one descriptor that tells of everything of the client. */
  struct pollfd pollers[2] = {{.fd = 0, .events = POLLIN}, {.fd = vl_client_fd(client), .events = POLLIN}};
  char line[4096];
  for (;;) {
    /* First whatever has come already: the descriptor tells of what is new. */
    failure = print_packets(client, 0);
    if (failure != VL_E_TIMEOUT) break;
    if (poll(pollers, 2, -1) < 0) continue;
    if (!pollers[0].revents) continue;
    if (!fgets(line, sizeof line, stdin)) {
      failure = print_packets(client, LINGER);
      break;
    }
    failure = vl_client_send(client, line, strcspn(line, "\n"), 10000);
    if (failure) break;
  }
  int status = failure == VL_E_TIMEOUT ? 0 : fail("the end");
  vl_client_free(client);
  return status;
}
