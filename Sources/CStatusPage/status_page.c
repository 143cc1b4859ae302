#include "status_page.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char page[] = {
#embed "../Voltlane/Admin/status.html"
};

const unsigned char *voltlane_status_page(void) { return page; }

size_t voltlane_status_page_size(void) { return sizeof page; }
