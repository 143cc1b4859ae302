// A network of a test's own, which nothing else is in.
#pragma once

// Moves the calling thread, and those that it starts from now on, to a network namespace with nothing but a loopback,
// whose outgoing connections get ports from `first` to `last`. 0, or -errno where the process may not do that.
int namespace_enter(int first, int last);

// From now on outgoing connections of the thread's namespace get other ports.
int namespace_set_ports(int first, int last);
