// libsecp256k1 0.2.0 or later, with its ECDH module (Debian 12: libsecp256k1-dev).
#pragma once
#include <secp256k1.h>
#include <secp256k1_ecdh.h>
