/* Sessions as text and in files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "session.h"
#include "test.h"

static char folder[] = "/tmp/libvoltlane-session-XXXXXX";

static const char *in_folder(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static vl_session example(void) {
  vl_session session = {.client_id = 0x00f1e2d3c4b5a697};
  fill(session.secret_key, sizeof session.secret_key, 1);
  fill(session.relay_key, sizeof session.relay_key, 200);
  return session;
}

static bool is_example(const vl_session *session) {
  vl_session expected = example();
  return session->client_id == expected.client_id && memcmp(session->secret_key, expected.secret_key, 32) == 0 &&
         memcmp(session->relay_key, expected.relay_key, 33) == 0;
}

static const char text[] =
    "voltlane session 1\n"
    "client-id 00f1e2d3c4b5a697\n"
    "secret-key 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n"
    "relay-key c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8\n";

static void text_is_that_of_voltlane_connect(void) {
  char written[VL_SESSION_TEXT_SIZE + 1];
  vl_session session = example(), read;
  vl_session_format(&session, written);
  CHECK_EQUAL(strlen(text), VL_SESSION_TEXT_SIZE);
  CHECK(strcmp(written, text) == 0);
  CHECK_EQUAL(vl_session_parse(&read, text, strlen(text)), VL_OK);
  CHECK(is_example(&read));
}

static void other_text_is_refused(void) {
  vl_session read = example();
  char changed[sizeof text + 1];
  for (size_t size = 0; size < strlen(text); size++) {
    CHECK_EQUAL(vl_session_parse(&read, text, size), VL_E_INVALID_SESSION);
  }
  memcpy(changed, text, sizeof text);
  for (size_t i = 0; i < strlen(text); i++) {
    char before = changed[i];
    changed[i] = '!';
    CHECK_EQUAL(vl_session_parse(&read, changed, strlen(text)), VL_E_INVALID_SESSION);
    changed[i] = before;
  }
  memcpy(changed + strlen(text), "\n", 2);
  CHECK_EQUAL(vl_session_parse(&read, changed, strlen(text) + 1), VL_E_INVALID_SESSION);
  CHECK(is_example(&read));
}

static void file_is_private_and_replaced(void) {
  struct stat status;
  vl_session session = example(), read = {0};
  int found = 7;
  const char *path = in_folder("saved");
  CHECK_EQUAL(vl_session_load(&read, path, &found), VL_OK);
  CHECK_EQUAL(found, 0);
  CHECK_EQUAL(vl_session_load(&read, path, NULL), VL_E_SYSTEM);
  session.client_id = 1;
  CHECK_EQUAL(vl_session_save(&session, path), VL_OK);
  session = example();
  CHECK_EQUAL(vl_session_save(&session, path), VL_OK);
  CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
  CHECK_EQUAL(vl_session_load(&read, path, &found), VL_OK);
  CHECK(found == 1 && is_example(&read));
  chmod(path, 0640);
  CHECK_EQUAL(vl_session_load(&read, path, &found), VL_E_INVALID_SESSION);
  CHECK(strstr(vl_error_text(), "chmod 600"));
}

static void file_that_is_none_is_refused(void) {
  vl_session session = example(), read = {0};
  int found;
  char path[256];
  snprintf(path, sizeof path, "%s", in_folder("target"));
  CHECK_EQUAL(vl_session_save(&session, path), VL_OK);
  CHECK(symlink(path, in_folder("link")) == 0);
  CHECK(vl_session_load(&read, in_folder("link"), &found) != VL_OK);
  CHECK(mkfifo(in_folder("pipe"), 0600) == 0);
  CHECK_EQUAL(vl_session_load(&read, in_folder("pipe"), &found), VL_E_INVALID_SESSION);
  CHECK(vl_session_load(&read, folder, &found) != VL_OK);
  int file = open(in_folder("empty"), O_CREAT | O_WRONLY, 0600);
  close(file);
  CHECK_EQUAL(vl_session_load(&read, in_folder("empty"), &found), VL_E_INVALID_SESSION);
  CHECK_EQUAL(vl_session_save(&session, "/nowhere/at/all"), VL_E_SYSTEM);
  CHECK(strstr(vl_error_text(), "No such file"));
}

static void lock_holds_others_off(void) {
  char path[256];
  int lock, other;
  snprintf(path, sizeof path, "%s", in_folder("locked"));
  CHECK_EQUAL(vli_session_lock(path, &lock), VL_OK);
  CHECK_EQUAL(vli_session_lock(path, &other), VL_E_IN_USE);
  pid_t child = fork();
  if (child == 0) _exit(vli_session_lock(path, &other) == VL_E_IN_USE ? 0 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(lock);
  CHECK_EQUAL(vli_session_lock(path, &other), VL_OK);
  close(other);
}

int main(void) {
  CHECK(mkdtemp(folder));
  RUN(text_is_that_of_voltlane_connect);
  RUN(other_text_is_refused);
  RUN(file_is_private_and_replaced);
  RUN(file_that_is_none_is_refused);
  RUN(lock_holds_others_off);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  CHECK(system(command) == 0);
  TESTS_DONE();
}
