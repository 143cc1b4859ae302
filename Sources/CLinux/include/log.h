#pragma once
#include <stdbool.h>
#include <stddef.h>

// The log of a process that must never wait for it: lines are queued in memory, and a thread of its own writes them to
// what was standard error. If they are not taken (nobody reads a pipe, a terminal is stopped, a disk is full), the
// queue fills up, and what does not fit is dropped and counted; the count is logged once lines are taken again.

// Starts it: 0 or -errno. From now on the descriptor of standard error is a pipe that never blocks: what others write
// there, such as the Swift runtime when it ends the process, becomes lines of the log. `is_json`: the form of the lines
// that are made in C.
int voltlane_log_begin(bool is_json);

// Whether the log goes to systemd's journal, which reads a priority, <0> to <7>, at the start of each line. The answer
// is the same before the log begins and after.
bool voltlane_journal_reads(void);

// Lines that were dropped since the start.
unsigned long voltlane_log_dropped(void);

// Queues a line, with its newline. Never waits for anything outside.
void voltlane_log_write(const char *line, size_t count);

// Waits until everything queued was written, or `milliseconds` have passed.
void voltlane_log_flush(int milliseconds);
