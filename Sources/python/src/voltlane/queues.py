"""The bounded queue of what has arrived and waits to be taken."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Generic, TypeVar

from .limits import PACKET_OVERHEAD

T = TypeVar("T")


class Inbox(Generic[T]):
    """Batches of items, as they arrived, which are taken one by one or a batch at a time, by any number of tasks.

    It never refuses: whoever fills it stops reading while :attr:`is_full`, and goes on when ``on_room`` is called. So
    it holds at most ``limit`` and what one read brings. A batch counts until its last item is taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Called when it was full and is half empty.
        self.on_room: Callable[[], None] = _nothing
        #: Bytes that count: data and an overhead for each item.
        self.cost = 0
        self.is_full = False
        self.is_finished = False
        self._error: BaseException | None = None
        #: When what was taken last had arrived, as whoever filled it said; None before the first.
        self.taken_arrival: float | None = None
        self._batches: deque[tuple[list[T], int, float]] = deque()
        self._current: list[T] = []
        self._next = 0
        self._current_cost = 0
        self._current_arrival = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def count(self) -> int:
        """Items that wait."""
        return len(self._current) - self._next + sum(len(batch) for batch, _, _ in self._batches)

    @property
    def oldest_arrival(self) -> float | None:
        """When the oldest item that waits had arrived; None where none waits."""
        if self._next < len(self._current):
            return self._current_arrival
        return self._batches[0][2] if self._batches else None

    def put(self, items: list[T], size: int, arrival: float = 0.0) -> None:
        """Adds what one read brought: ``size`` bytes of data, which arrived then. The list is given away."""
        if not items or self.is_finished:
            return
        cost = size + PACKET_OVERHEAD * len(items)
        self._batches.append((items, cost, arrival))
        self.cost += cost
        if self.cost >= self.limit:
            self.is_full = True
        self._wake(len(items))

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will come. What is there can still be taken, then the error, if there is one, is raised."""
        if self.is_finished:
            return
        self.is_finished = True
        self._error = error
        self._wake(len(self._waiters))

    async def take(self) -> T | None:
        """The next item; None at the end."""
        while True:
            if self._next < len(self._current):
                item = self._current[self._next]
                self._next += 1
                if self._next == len(self._current):
                    self._drop_current()
                return item
            if self._batches:
                self._current, self._current_cost, self._current_arrival = self._batches.popleft()
                self._next = 0
                self.taken_arrival = self._current_arrival
            elif not await self._wait():
                return None

    async def take_batch(self) -> list[T] | None:
        """All items of the next batch that were not taken yet, at least one; None at the end."""
        while True:
            if self._next < len(self._current):
                batch = self._current[self._next :]
                self._drop_current()
                return batch
            if self._batches:
                batch, cost, self.taken_arrival = self._batches.popleft()
                self._subtract(cost)
                return batch
            if not await self._wait():
                return None

    def _drop_current(self) -> None:
        self._current = []
        self._next = 0
        self._subtract(self._current_cost)
        self._current_cost = 0

    def _subtract(self, cost: int) -> None:
        self.cost -= cost
        if self.is_full and self.cost <= self.limit // 2:
            self.is_full = False
            self.on_room()

    async def _wait(self) -> bool:
        """Waits until there may be something. False at the end."""
        if self.is_finished:
            if self._error is not None:
                raise self._error
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # It was this task's turn: the next one takes it.
                self._wake(1)
            else:
                self._waiters.remove(waiter)
            raise
        return True

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1


def _nothing() -> None:
    pass
