"""When what is read may have arrived."""

from __future__ import annotations


class ArrivalClock:
    """The earliest time at which what is read may have arrived, in the event loop's time.

    The kernel does not say, and receives data while nobody reads. So after a connection has not been read for a while,
    because too much waited already, because it had to wait for its turn, or because the process was stopped, what is
    read may be as old as that, until a read finds the kernel empty.
    """

    def __init__(self, resolution: float | None, now: float) -> None:
        #: How often the event loop shows that it runs; None: it does not, and stops go unnoticed.
        self.resolution = resolution
        self._last_tick = now
        self._unread_since: float | None = None

    def tick(self, now: float) -> None:
        """The event loop runs."""
        self._notice_stop(now)
        self._last_tick = now

    def pause(self, now: float) -> None:
        """Nothing is read from now on."""
        if self._unread_since is None:
            self._unread_since = now

    def read(self, now: float, is_all: bool) -> float:
        """Something was read; ``is_all``: the kernel had no more. Returns when it may have arrived."""
        self._notice_stop(now)
        arrival = now if self._unread_since is None else self._unread_since
        if is_all:
            self._unread_since = None
        return arrival

    def _notice_stop(self, now: float) -> None:
        # Twice, because a tick may be a little late.
        if self.resolution is None or now - self._last_tick <= 2 * self.resolution:
            return
        if self._unread_since is None or self._unread_since > self._last_tick:
            self._unread_since = self._last_tick
        self._last_tick = now
