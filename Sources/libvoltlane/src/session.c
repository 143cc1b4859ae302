/* A session as text, in the format of voltlane-connect's session files:
 *
 *     voltlane session 1
 *     client-id 16 hexadecimal digits
 *     secret-key 64 hexadecimal digits
 *     relay-key 66 hexadecimal digits */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "crypto.h"
#include "error.h"
#include "session.h"

static const char title[] = "voltlane session 1";

static void put_hexadecimal(char **to, const unsigned char *bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    *(*to)++ = digits[bytes[i] >> 4];
    *(*to)++ = digits[bytes[i] & 15];
  }
}

void vl_session_format(const vl_session *session, char text[VL_SESSION_TEXT_SIZE + 1]) {
  char *end = text + snprintf(
                         text, VL_SESSION_TEXT_SIZE + 1, "%s\nclient-id %016" PRIx64 "\nsecret-key ", title,
                         session->client_id);
  put_hexadecimal(&end, session->secret_key, sizeof session->secret_key);
  memcpy(end, "\nrelay-key ", 11);
  end += 11;
  put_hexadecimal(&end, session->relay_key, sizeof session->relay_key);
  memcpy(end, "\n", 2);
}

struct text {
  const char *at, *end;
};

static bool take(struct text *text, const char *expected) {
  size_t size = strlen(expected);
  if ((size_t)(text->end - text->at) < size || memcmp(text->at, expected, size) != 0) return false;
  text->at += size;
  return true;
}

static int digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

static bool take_hexadecimal(struct text *text, unsigned char *bytes, size_t size) {
  if ((size_t)(text->end - text->at) < 2 * size) return false;
  for (size_t i = 0; i < size; i++, text->at += 2) {
    int high = digit(text->at[0]), low = digit(text->at[1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

int vl_session_parse(vl_session *session, const char *content, size_t size) {
  struct text text = {content, content + size};
  vl_session read;
  unsigned char id[8];
  bool is_one = take(&text, title) && take(&text, "\nclient-id ") && take_hexadecimal(&text, id, sizeof id) &&
                take(&text, "\nsecret-key ") && take_hexadecimal(&text, read.secret_key, sizeof read.secret_key) &&
                take(&text, "\nrelay-key ") && take_hexadecimal(&text, read.relay_key, sizeof read.relay_key) &&
                take(&text, "\n") && text.at == text.end;
  if (is_one) {
    read.client_id = 0;
    for (size_t i = 0; i < sizeof id; i++) read.client_id = read.client_id << 8 | id[i];
    *session = read;
  }
  vl_session_wipe(&read);
  return is_one ? VL_OK : vli_fail(VL_E_INVALID_SESSION, "the text is no session");
}

void vl_session_wipe(vl_session *session) {
  vli_wipe(session, sizeof *session);
}

static int write_whole(int descriptor, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t count = write(descriptor, bytes, size);
    if (count < 0 && errno != EINTR) return -1;
    if (count > 0) bytes += count, size -= (size_t)count;
  }
  /* A session that is lost with the machine's power is of little use, but half a file would be none at all. */
  return fsync(descriptor);
}

int vl_session_save(const vl_session *session, const char *path) {
  char text[VL_SESSION_TEXT_SIZE + 1];
  size_t size = strlen(path) + 32;
  char *new_path = malloc(size);
  if (!new_path) return vli_fail(VL_E_MEMORY, "out of memory");
  snprintf(new_path, size, "%s.%016llx.new", path, vli_random_number());
  vl_session_format(session, text);
  int descriptor = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int failed = descriptor < 0;
  int error = errno;
  if (!failed) {
    failed = write_whole(descriptor, text, strlen(text));
    error = errno;
    if (close(descriptor) && !failed) failed = 1, error = errno;
    if (!failed && rename(new_path, path)) failed = 1, error = errno;
    if (failed) unlink(new_path);
  }
  vli_wipe(text, sizeof text);
  free(new_path);
  return failed ? vli_fail_system(VL_E_SYSTEM, error, "cannot write the session file %s", path) : VL_OK;
}

int vl_session_load(vl_session *session, const char *path, int *found) {
  char text[1024];
  struct stat status;
  if (found) *found = 0;
  /* No link: saving would replace it and not what it leads to. And not blocked by a pipe. */
  int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT && found) return VL_OK;
  if (descriptor < 0) return vli_fail_system(VL_E_SYSTEM, errno, "cannot read the session file %s", path);
  if (found) *found = 1;
  ssize_t size = -1;
  int failure = VL_OK;
  if (fstat(descriptor, &status) || !S_ISREG(status.st_mode)) {
    failure = vli_fail(VL_E_INVALID_SESSION, "%s is no regular file", path);
  } else {
    size = read(descriptor, text, sizeof text);
    if (size < 0) failure = vli_fail_system(VL_E_SYSTEM, errno, "cannot read the session file %s", path);
  }
  close(descriptor);
  if (failure) return failure;
  vl_session read;
  failure = vl_session_parse(&read, text, (size_t)size);
  if (failure) {
    failure = vli_fail(failure, "%s holds no session; give another file, or remove it to begin a new one", path);
  } else if (status.st_mode & 077) {
    failure = vli_fail(
        VL_E_INVALID_SESSION, "%s holds a secret key, and others may read it; chmod 600 mends that", path);
  } else {
    *session = read;
  }
  vl_session_wipe(&read);
  vli_wipe(text, sizeof text);
  return failure;
}

int vli_session_lock(const char *path, int *descriptor) {
  size_t size = strlen(path) + 8;
  char *lock_path = malloc(size);
  if (!lock_path) return vli_fail(VL_E_MEMORY, "out of memory");
  snprintf(lock_path, size, "%s.lock", path);
  int opened = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  int error = errno;
  free(lock_path);
  if (opened < 0) return vli_fail_system(VL_E_SYSTEM, error, "cannot write the lock of the session file %s", path);
  if (flock(opened, LOCK_EX | LOCK_NB) == 0) {
    *descriptor = opened;
    return VL_OK;
  }
  error = errno;
  close(opened);
  if (error == EWOULDBLOCK) return vli_fail(VL_E_IN_USE, "the session of %s is in use by another process", path);
  return vli_fail_system(VL_E_SYSTEM, error, "cannot lock the session file %s", path);
}
