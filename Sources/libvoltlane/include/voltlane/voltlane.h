/* All of libvoltlane. Each header can be included by itself: codec.h for the protocol without I/O, client.h and
 * backend.h for sockets. */
#ifndef VOLTLANE_H
#define VOLTLANE_H

#include <voltlane/backend.h>
#include <voltlane/base.h>
#include <voltlane/client.h>
#include <voltlane/codec.h>

#endif
