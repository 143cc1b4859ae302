// libsodium 1.0.18 or later (Debian 12: libsodium-dev).
#pragma once
#include <sodium.h>
