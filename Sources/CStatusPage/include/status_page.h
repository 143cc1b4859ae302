#pragma once
#include <stddef.h>

// The status page as it stands in Sources/Voltlane/Admin/status.html. It is C because a compiler takes a second for
// this file, and half a minute for the same bytes as a Swift array.
const unsigned char *voltlane_status_page(void);
size_t voltlane_status_page_size(void);
