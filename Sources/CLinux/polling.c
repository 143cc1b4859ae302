#define _GNU_SOURCE
#include "polling.h"
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

int voltlane_poller(void) {
  int poller = epoll_create1(EPOLL_CLOEXEC);
  return poller < 0 ? -errno : poller;
}

int voltlane_accept(int listener) {
  int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return client < 0 ? -errno : client;
}

int voltlane_timer(void) {
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return timer < 0 ? -errno : timer;
}

void voltlane_timer_set(int timer, unsigned long long moment) {
  struct itimerspec time = {
      .it_value = {.tv_sec = (time_t)(moment / 1000000000), .tv_nsec = (long)(moment % 1000000000)}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL);
}
