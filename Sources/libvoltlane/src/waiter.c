#include "waiter.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "error.h"
#include "net.h"

int vli_waiter_init(struct vli_waiter *waiter) {
  memset(waiter, 0, sizeof *waiter);
  waiter->timer_set = VLI_NEVER;
  waiter->epoll = epoll_create1(EPOLL_CLOEXEC);
  waiter->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  waiter->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  int error = errno;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&waiter->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&waiter->lock, NULL);
  if (waiter->epoll >= 0 && waiter->event >= 0 && waiter->timer >= 0) {
    if (!vli_waiter_add(waiter, waiter->event, true, false) && !vli_waiter_add(waiter, waiter->timer, true, false)) {
      return 0;
    }
    error = errno;
  }
  vli_waiter_destroy(waiter);
  return vli_fail_system(VL_E_SYSTEM, error, "cannot wait for sockets");
}

void vli_waiter_destroy(struct vli_waiter *waiter) {
  if (waiter->epoll >= 0) close(waiter->epoll);
  if (waiter->event >= 0) close(waiter->event);
  if (waiter->timer >= 0) close(waiter->timer);
  pthread_cond_destroy(&waiter->changed);
  pthread_mutex_destroy(&waiter->lock);
}

static void wait_for_others(struct vli_waiter *waiter, int64_t deadline) {
  if (deadline == VLI_NEVER) {
    pthread_cond_wait(&waiter->changed, &waiter->lock);
  } else {
    struct timespec until = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};
    pthread_cond_timedwait(&waiter->changed, &waiter->lock, &until);
  }
}

static int time_until(int64_t deadline) {
  if (deadline == VLI_NEVER) return -1;
  int64_t left = deadline - vli_now();
  return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

void vli_waiter_wait(struct vli_waiter *waiter, int64_t deadline) {
  if (waiter->is_polling) {
    wait_for_others(waiter, deadline);
    return;
  }
  waiter->is_polling = true;
  int timeout = time_until(deadline);
  pthread_mutex_unlock(&waiter->lock);
  struct epoll_event event;
  int count = epoll_wait(waiter->epoll, &event, 1, timeout);
  pthread_mutex_lock(&waiter->lock);
  waiter->is_polling = false;
  waiter->ready = count > 0 ? event.data.fd : -1;
  uint64_t value;
  if (count > 0 && event.data.fd == waiter->event) (void)!read(waiter->event, &value, sizeof value);
  vli_waiter_tell(waiter);
}

void vli_waiter_wake(struct vli_waiter *waiter) {
  uint64_t one = 1;
  (void)!write(waiter->event, &one, sizeof one);
  vli_waiter_tell(waiter);
}

void vli_waiter_tell(struct vli_waiter *waiter) {
  pthread_cond_broadcast(&waiter->changed);
}

void vli_waiter_set_timer(struct vli_waiter *waiter, int64_t deadline) {
  if (deadline == waiter->timer_set) return;
  waiter->timer_set = deadline;
  struct itimerspec setting = {0};
  if (deadline != VLI_NEVER) {
    setting.it_value.tv_sec = deadline / 1000;
    /* All zeroes would mean never. */
    setting.it_value.tv_nsec = deadline % 1000 * 1000000 + 1;
  }
  timerfd_settime(waiter->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

static int control(struct vli_waiter *waiter, int operation, int descriptor, bool input, bool output) {
  struct epoll_event event = {.events = (input ? EPOLLIN : 0u) | (output ? EPOLLOUT : 0u), .data.fd = descriptor};
  return epoll_ctl(waiter->epoll, operation, descriptor, &event);
}

int vli_waiter_add(struct vli_waiter *waiter, int descriptor, bool input, bool output) {
  return control(waiter, EPOLL_CTL_ADD, descriptor, input, output);
}

void vli_waiter_change(struct vli_waiter *waiter, int descriptor, bool input, bool output) {
  control(waiter, EPOLL_CTL_MOD, descriptor, input, output);
}

void vli_waiter_remove(struct vli_waiter *waiter, int descriptor) {
  control(waiter, EPOLL_CTL_DEL, descriptor, false, false);
}
