/* Session files beyond what is public. */
#ifndef VLI_SESSION_H
#define VLI_SESSION_H

#include <voltlane/base.h>

/* Holds a session file for this process until `*descriptor` is closed. As with voltlane-connect the lock is a file
 * beside it, because saving replaces the file itself; it is left there, since removing it would race. */
int vli_session_lock(const char *path, int *descriptor);

#endif
