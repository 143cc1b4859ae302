#pragma once

// Lets the opening of a file hang, for every process, until the descriptor that is returned is closed; or -errno.
int hang_opening(const char *path);

// Waits until somebody opens it.
void hang_wait(int watcher);
