// What Swift cannot import from glibc without _GNU_SOURCE, and system calls that return -errno instead of setting it.
#pragma once
#include "files.h"
#include "load.h"
#include "log.h"
#include "memory.h"
#include "polling.h"
#include "process.h"
#include "service.h"
#include "signals.h"
#include "sockets.h"
#include "terminal.h"
#include "threads.h"
