// What Swift cannot import from glibc without _GNU_SOURCE, and system calls that return -errno instead of setting it.
#pragma once
#include "process.h"
