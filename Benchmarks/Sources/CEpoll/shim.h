// The Glibc module of Swift does not cover epoll.
#include <sys/epoll.h>
