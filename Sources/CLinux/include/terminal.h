#pragma once
#include <stdbool.h>

// What a program for people needs: a terminal that gives it each key, and a socket of another program.

// Connects to a unix socket, waiting for as long as its listener lets it wait; the socket or -errno.
int voltlane_connect_unix(const char *path);

bool voltlane_is_terminal(int fd);

// From now on standard input gives each key as it is pressed, without showing it; 0 or -errno. The end of the process,
// also by SIGTERM or SIGHUP, undoes it, and shows the screen that was there before. A window that changes its size ends
// a wait for a key.
int voltlane_terminal_begin(void);
void voltlane_terminal_end(void);

// How many columns and rows the terminal has; 80 and 24 where it does not say.
void voltlane_terminal_size(int *columns, int *rows);
