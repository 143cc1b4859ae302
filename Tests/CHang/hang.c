#include "hang.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <unistd.h>

int hang_opening(const char *path) {
  int watcher = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
  if (watcher < 0) return -errno;
  if (fanotify_mark(watcher, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, path) == 0) return watcher;
  int error = errno;
  close(watcher);
  return -error;
}

void hang_wait(int watcher) {
  struct pollfd watched = {.fd = watcher, .events = POLLIN};
  while (poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
}
