#pragma once
#include <stddef.h>

// Files that somebody else names, read in such a way that nothing waits for ever. Functions that can fail return
// -errno.

enum voltlane_file_kind {
  VOLTLANE_REGULAR,
  VOLTLANE_PIPE,
  VOLTLANE_SOCKET,
  // /dev/null: always empty.
  VOLTLANE_EMPTY,
  VOLTLANE_TERMINAL,
  VOLTLANE_DEVICE,
  VOLTLANE_FOLDER,
};

// The attributes of a file that change when its contents do.
struct voltlane_file_state {
  enum voltlane_file_kind kind;
  unsigned long long device, inode;
  long long size;
  // When its inode was last changed, which nobody can set back, in nanoseconds since 1970; and what the clock says.
  long long changed, now;
};

// Opens a file for reading. Waits neither for the other end of a pipe nor for a terminal. A name of one of the
// process's own descriptors, /dev/stdin or /dev/fd/N, also works for a socket.
int voltlane_open_file(const char *path);

// The same as the kernel has it for the descriptor, or for whatever has the name now.
int voltlane_file_state(int fd, struct voltlane_file_state *state);
int voltlane_named_file_state(const char *path, struct voltlane_file_state *state);

// Reads what there is, at most `capacity` bytes, waiting at most `milliseconds`: 0 at the end, and -ETIMEDOUT.
long voltlane_read_within(int fd, void *buffer, size_t capacity, int milliseconds);

// Whether some process has the file open for writing. False if the kernel does not say: it tells only the file's owner,
// and not on every file system.
int voltlane_is_open_for_writing(int fd);

void voltlane_close_file(int fd);

// Waits.
void voltlane_sleep(int milliseconds);

// Opens the descriptors 0 to 2 if they were closed, so that no file or socket gets their numbers, and with them what is
// meant for a terminal. Reading from or writing to one still fails.
void voltlane_occupy_standard_streams(void);

// Writes all of it; 0 or -errno.
int voltlane_write(int fd, const void *bytes, size_t count);

// Runs `body` on a thread of its own, for which nobody waits.
int voltlane_run_detached(const char *name, void (*body)(void *), void *argument);
