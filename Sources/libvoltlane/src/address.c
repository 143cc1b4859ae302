#include "address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "error.h"

static int invalid(const char *text) {
  return vli_fail(
      VL_E_ARGUMENT, "'%s' is no address: host:port, [v6 address]:port or unix:/path are", text ? text : "(null)");
}

static bool is_port(const char *text) {
  size_t size = strlen(text);
  return size >= 1 && size <= 5 && strspn(text, "0123456789") == size && atoi(text) <= 65535;
}

int vli_address_parse(struct vli_address *address, const char *text) {
  memset(address, 0, sizeof *address);
  if (!text) return invalid(text);
  if (strncmp(text, "unix:", 5) == 0) {
    size_t size = strlen(text + 5);
    if (size == 0 || size >= sizeof((struct sockaddr_un *)0)->sun_path) return invalid(text);
    address->is_unix = true;
    memcpy(address->host, text + 5, size);
    return VL_OK;
  }
  const char *host = text, *end, *port;
  if (*host == '[') {
    host++;
    end = strchr(host, ']');
    if (!end || end[1] != ':') return invalid(text);
    port = end + 2;
  } else {
    end = strchr(host, ':');
    /* More than one colon is a v6 address, whose port could not be told from it. */
    if (!end || strchr(end + 1, ':')) return invalid(text);
    port = end + 1;
  }
  size_t size = (size_t)(end - host);
  if (size == 0 || size > VLI_HOST_MAX || !is_port(port)) return invalid(text);
  memcpy(address->host, host, size);
  memcpy(address->port, port, strlen(port));
  return VL_OK;
}
