#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "sockets.h"

// What systemd, or whatever else runs the process as a service, hears from it and passes to it. Functions that can fail
// return -errno.

// A socket to tell the service manager something from.
int voltlane_open_notifier(void);

// Sends a message from such a socket to the service manager's: a path, or '@' and a name that is no path. Never waits:
// a message for which the manager has no room is lost.
int voltlane_notify(int fd, const char *address, const void *message, size_t count);

// The descriptor from which on the manager passes sockets.
static const int voltlane_first_passed = 3;

// What a descriptor that was passed is.
enum { VOLTLANE_LISTENS = 1, VOLTLANE_DOES_NOT_LISTEN = 0 };

// Whether it is a stream socket on which somebody listens, TCP or unix. It is not inherited any further from now on.
int voltlane_is_listener(int descriptor);

// Gives a listening socket that somebody else has opened the options of the relay's own. What only counts before a
// socket is bound stays as it is.
int voltlane_adopt_listener(int socket, struct voltlane_listen_options options);
