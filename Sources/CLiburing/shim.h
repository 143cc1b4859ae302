// liburing 2.3 or later (Debian 12: liburing-dev).
//
// Without the three lines about fds_bits a debug build fails with "'__fds_bits' from module 'SwiftGlibc' is not
// present": liburing.h pulls in <sys/select.h> with _GNU_SOURCE, where the field has its other name.
#pragma once
#define fds_bits __fds_bits
#include <sys/select.h>
#undef fds_bits
#include <liburing.h>
