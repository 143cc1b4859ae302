/* How the threads of one handle wait: one of them at a time polls for all, the others wait for it. Whoever polls does
 * so without the lock, so that others can send meanwhile.
 *
 * The epoll descriptor holds all that a handle waits for, so that it is also the one descriptor for other event loops:
 * its sockets, a timer, and an event by which one thread wakes the one that polls. */
#ifndef VLI_WAITER_H
#define VLI_WAITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vli_waiter {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int epoll, event, timer;
  bool is_polling;
  /* What the last wait found: a descriptor with something to do, or -1. */
  int ready;
  int64_t timer_set;
};

/* VL_OK, VL_E_SYSTEM. */
int vli_waiter_init(struct vli_waiter *waiter);
void vli_waiter_destroy(struct vli_waiter *waiter);

/* With the lock: returns when something may have changed, or at the deadline. The caller then does what can be done
 * without waiting, and looks anew. */
void vli_waiter_wait(struct vli_waiter *waiter, int64_t deadline);

/* With the lock: lets every thread that waits look anew. */
void vli_waiter_wake(struct vli_waiter *waiter);

/* With the lock: the others may find something now, or the room that they wait for. */
void vli_waiter_tell(struct vli_waiter *waiter);

/* With the lock: makes the epoll descriptor readable at this time. */
void vli_waiter_set_timer(struct vli_waiter *waiter, int64_t deadline);

/* Watches a descriptor for input, and for output too where that is wanted. */
int vli_waiter_add(struct vli_waiter *waiter, int descriptor, bool input, bool output);
void vli_waiter_change(struct vli_waiter *waiter, int descriptor, bool input, bool output);
void vli_waiter_remove(struct vli_waiter *waiter, int descriptor);

#endif
