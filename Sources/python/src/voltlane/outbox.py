"""The bounded queue of what a client wants to send. It outlives the client's connections."""

from __future__ import annotations

import asyncio
from collections import deque

from .errors import ClosedError
from .limits import LONE_PACKET, PACKET_OVERHEAD, WRITE_SIZE


class Outbox:
    """Packets in the order in which they were sent, until the kernel has them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Bytes that count: data and an overhead for each packet, what is being written included.
        self.cost = 0
        self.is_closed = False
        #: Nothing more is taken; resolved once the kernel has everything.
        self.finishing: asyncio.Future[None] | None = None
        self._packets: deque[bytes] = deque()
        # What was handed to the transport in one write of which the kernel may not have everything.
        self._writing: list[bytes] = []
        self._waiters: deque[tuple[asyncio.Future[None], bytes]] = deque()

    @property
    def is_finishing(self) -> bool:
        """Whether nothing more is taken."""
        return self.finishing is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, not even within a write."""
        return not (self._packets or self._writing or self._waiters)

    def try_put(self, packet: bytes) -> bool:
        """Queues a packet where there is room."""
        if self.is_closed or self.is_finishing:
            raise ClosedError
        if self._waiters or self.cost >= self.limit:
            return False
        self._append(packet)
        return True

    async def put(self, packet: bytes) -> None:
        """Queues a packet, after those that wait for room already."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (waiter, packet)
        self._waiters.append(entry)
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                try:
                    self._waiters.remove(entry)
                except ValueError:
                    pass

    def next_write(self) -> list[bytes]:
        """The packets that are to be written next, together: one large one, or small ones up to a size.

        They count until :meth:`wrote` or :meth:`lost` is called.
        """
        size = 0
        writing = self._writing
        packets = self._packets
        while packets and size < WRITE_SIZE:
            if len(packets[0]) > LONE_PACKET:
                if not writing:
                    writing.append(packets.popleft())
                break
            packet = packets.popleft()
            size += len(packet)
            writing.append(packet)
        return writing

    def wrote(self) -> None:
        """The kernel has all of the write."""
        self.cost -= sum(map(len, self._writing)) + PACKET_OVERHEAD * len(self._writing)
        self._writing = []
        while self._waiters and self.cost < self.limit:
            waiter, packet = self._waiters.popleft()
            if not waiter.done():
                self._append(packet)
                waiter.set_result(None)

    def lost(self) -> None:
        """The connection ended within a write: the kernel has not had all of it.

        So it has not had the last packet whole, which is sent again; the relay drops the part. What became of those
        before it nobody can tell: they are dropped, since nothing may be sent twice.
        """
        if self._writing:
            last = self._writing.pop()
            self._packets.appendleft(last)
            self.wrote()

    def refused(self) -> None:
        """The kernel has had nothing of the write: all of it is sent again."""
        self._packets.extendleft(reversed(self._writing))
        self._writing = []

    def close(self) -> None:
        """Drops everything; those who wait get :class:`ClosedError`."""
        self.is_closed = True
        self._packets.clear()
        self._writing = []
        self.cost = 0
        waiters, self._waiters = self._waiters, deque()
        for waiter, _ in waiters:
            if not waiter.done():
                waiter.set_exception(ClosedError())
        if self.finishing is not None and not self.finishing.done():
            self.finishing.set_exception(ClosedError())
            # Whoever waited may have gone.
            self.finishing.exception()

    def _append(self, packet: bytes) -> None:
        self._packets.append(packet)
        self.cost += len(packet) + PACKET_OVERHEAD
