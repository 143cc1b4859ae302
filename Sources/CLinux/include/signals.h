#pragma once

// What the process does about each signal, and what it reports when it crashes. The table is in signals.c.

// Decides about every signal; to be called first in main, while there is no other thread. Until
// voltlane_take_signals(), the signals that ask for the end end the process at once, whatever it is waiting for, and
// those that ask for something else are kept.
void voltlane_decide_signals(void);

// From now on the signals of voltlane_decide_signals() that ask for something wait to be read from the descriptor that
// this returns, or -errno. To be called before the first thread that does not block them itself.
int voltlane_take_signals(void);

// Writing to something that nobody reads, or that may not grow, fails from now on instead of ending the process.
void voltlane_let_writes_fail(void);

// A crash writes one line to the log, without anything from memory, and ends the process within a second by the same
// signal. This replaces what the Swift runtime does then. Both texts are copied. Core files are off from now on;
// raising the limit later turns them on again.
void voltlane_prepare_for_crash(const char *program, const char *version);

// Lets the calling thread report even that its stack is used up. If there is no memory for that, it does not.
void voltlane_prepare_thread_for_crash(void);

// Ends the process by the signal `number`, so that whoever started it sees what it was. Safe in a signal handler.
_Noreturn void voltlane_die(int number);
