"""The backend of a relay."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from array import array
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from types import TracebackType
from typing import Any

from .endpoint import Endpoint
from .errors import CannotListenError, NotConnectedError, describe
from .events import EndedClients, Event, Firehose
from .firehose import FirehoseConnection
from .limits import BACKEND_QUEUE, DEFAULT_MAX_PACKET_SIZE, FINISHING, SILENT, TAG, WAITING_CONNECTIONS
from .queues import Inbox
from .wire import Buffer, Flag, check_client_id, check_max_packet_size, id_array, multicast, packet_bytes

_logger = logging.getLogger("voltlane.backend")

_TAGGED = Struct("<IQB")


@dataclass(frozen=True)
class BackendOptions:
    """Limits of a backend. Sizes are bytes."""

    #: The relay's ``--max-packet-size``, without the tag.
    max_packet_size: int = DEFAULT_MAX_PACKET_SIZE
    #: The firehose is not read while events of this many bytes wait to be taken; each counts its data and 128 bytes.
    receive_limit: int = BACKEND_QUEUE
    #: ``send`` waits while packets of this many bytes wait to be sent.
    send_limit: int = BACKEND_QUEUE
    #: Report every ``unknown client`` with which the relay answers. False: one ``Failure`` a client, no matter how many
    #: packets were on their way to it.
    every_answer: bool = False
    #: How precisely the backend notices that its process was stopped, for :attr:`Backend.event_age` and
    #: :attr:`Backend.oldest_event_age`: a timer runs that often, in seconds, at least a millisecond. None: it does
    #: not notice, and whatever arrived meanwhile looks new.
    stop_resolution: float | None = None

    def __post_init__(self) -> None:
        check_max_packet_size(self.max_packet_size)
        if self.stop_resolution is not None and not self.stop_resolution >= 0.001:
            raise ValueError(f"stop_resolution: {self.stop_resolution}; at least 0.001 seconds expected")
        for field in ("receive_limit", "send_limit"):
            value = getattr(self, field)
            if value < 1:
                raise ValueError(f"{field}: {value}; at least 1 byte expected")


class Backend:
    """The backend of a relay: it accepts the relay's connection, and talks to all clients of the relay over it.

    ::

        async with await Backend.listen("127.0.0.1:42001") as backend:
            async for event in backend:
                if isinstance(event, Data):
                    await backend.send(event.client_id, event.data)

    **Which connection counts.** A backend serves one relay. It reads one connection at a time, the current one, and
    sends everything on it. A new connection waits until it has shown a whole valid packet, so a stray HTTP request or
    a port scanner replaces nothing. The current connection is then read to its end, or dropped once it has brought
    nothing for a second; the log has a warning if it looked alive. So a client's packets never overtake each other.
    (If there is no current connection, a silent one becomes current after a second.)

    **When the connection is lost** the relay dials again within seconds, and its clients stay. Events report the end,
    the next connection, and then which sessions are alive: see :class:`ClientTable`. In between, :meth:`send` raises
    :class:`NotConnectedError`. Whatever one side had sent and the other had not read may be lost; the protocol has no
    acknowledgement.

    **Limits.** While events of ``receive_limit`` wait to be taken, the connection is not read, and TCP slows the
    relay down. While packets of ``send_limit`` wait to be sent, :meth:`send` waits and :meth:`try_send` returns
    False. Reading never waits for sending, so a loop that answers each event before it takes the next cannot
    deadlock.
    """

    def __init__(self, options: BackendOptions) -> None:
        """Not for users: see :meth:`listen`."""
        self._options = options
        self._max_packet_size = options.max_packet_size
        self._loop = asyncio.get_running_loop()
        self._inbox: Inbox[Event] = Inbox(options.receive_limit)
        self._inbox.on_room = self._on_room
        self._ended = EndedClients(options.every_answer)
        self._server: asyncio.AbstractServer | None = None
        self._address = Endpoint()
        self._current: FirehoseConnection | None = None
        # In the order in which they were accepted.
        self._waiting: list[FirehoseConnection] = []
        self._begun = 0
        self._refused = 0
        self._is_stopped = False
        self._finishing: asyncio.TimerHandle | None = None
        self._senders: deque[asyncio.Future[None]] = deque()
        self._ticking: asyncio.TimerHandle | None = None
        self._tick()

    @classmethod
    async def listen(cls, endpoint: str | Endpoint, options: BackendOptions | None = None) -> Backend:
        """Starts to listen. Returns once connections are accepted.

        Port 0 takes any free port: see :attr:`address`. The file of a unix socket is replaced if nobody listens on it.
        Keep the address private: anyone who can connect to it can pose as the relay.

        Raises :class:`CannotListenError`.
        """
        where = Endpoint.parse(endpoint)
        backend = cls(options or BackendOptions())
        loop = asyncio.get_running_loop()

        def make() -> FirehoseConnection:
            return FirehoseConnection(backend, backend._options)

        try:
            if where.path is not None:
                _refuse_live_socket(where)
                backend._server = await loop.create_unix_server(make, where.path)
                backend._address = where
            else:
                backend._server = await loop.create_server(make, where.host, where.port, backlog=256)
                name = backend._server.sockets[0].getsockname()
                backend._address = Endpoint.of_socket_name(name) or where
        except BaseException as error:
            backend._stop_ticking()
            if isinstance(error, OSError):
                raise CannotListenError(where, describe(error)) from None
            raise
        return backend

    # --- How it stands

    @property
    def address(self) -> Endpoint:
        """Where it listens; the port is the real one."""
        return self._address

    @property
    def firehose(self) -> Firehose | None:
        """The current connection; None while no relay is connected."""
        return None if self._current is None else self._current.firehose

    @property
    def waiting_bytes(self) -> int:
        """The size of the events that wait to be taken; each counts its data and 128 bytes."""
        return self._inbox.cost

    @property
    def waiting_events(self) -> int:
        """How many events wait to be taken."""
        return self._inbox.count

    @property
    def event_age(self) -> float | None:
        """How long ago the event or batch that was taken last arrived, at most, in seconds; None before the first.

        With ``stop_resolution`` that includes the time for which the process was stopped: a backend that goes on after
        that can skip what nobody needs any more.
        """
        arrival = self._inbox.taken_arrival
        return None if arrival is None else max(0.0, self._loop.time() - arrival)

    @property
    def oldest_event_age(self) -> float | None:
        """The same of the oldest event that waits to be taken; None if none waits.

        Events that the kernel holds, because too much waits already, are not included; once they are read, they count
        from the moment when reading stopped.
        """
        arrival = self._inbox.oldest_arrival
        return None if arrival is None else max(0.0, self._loop.time() - arrival)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were sent and that the kernel has not accepted yet."""
        return 0 if self._current is None else self._current.unsent_bytes

    @property
    def refused_packet_count(self) -> int:
        """How many tagged packets were skipped; each is also an event."""
        return self._refused + (0 if self._current is None else self._current.refused)

    @property
    def repeated_failure_count(self) -> int:
        """Answers to packets for clients whose failure was reported already. They are counted, not reported."""
        return self._ended.repeated

    # --- Events

    def __aiter__(self) -> AsyncIterator[Event]:
        """Events, one at a time, until the backend is stopped."""
        return self

    async def __anext__(self) -> Event:
        event = await self._inbox.take()
        if event is None:
            raise StopAsyncIteration
        return event

    async def batches(self) -> AsyncIterator[list[Event]]:
        """The same events in lists, as many as arrived together: the fast way to take many."""
        while True:
            batch = await self._inbox.take_batch()
            if batch is None:
                return
            yield batch

    # --- Sending

    def try_send(self, client_id: int, packet: Buffer, *, volatile: bool = False) -> bool:
        """Queues a packet without waiting. False: the queue is full, or no relay is connected."""
        current = self._current
        if current is None or current.is_full:
            return False
        if type(packet) is not bytes or len(packet) > self._max_packet_size:
            packet = packet_bytes(packet, self._max_packet_size)
        try:
            header = _TAGGED.pack(len(packet) + TAG, client_id, 5 if volatile else 0)
        except struct_error:
            check_client_id(client_id)
            raise
        current.write(header, packet)
        return True

    async def send(self, client_id: int, packet: Buffer, *, volatile: bool = False) -> None:
        """Queues a packet for a client, and returns once it is queued; waits while the queue is full.

        If the id is not a session the relay answers with a :class:`Failure`, ``unknown client``. For a client that is
        away it keeps up to ``--missed-packets-buffer``; beyond that the session ends.

        ``volatile``: the packet is worth nothing later. The relay drops it if the client is away or already behind
        (by a quarter of ``--client-send-buffer``). It never ends a session and is never answered.

        Raises :class:`NotConnectedError` while no relay is connected; the packet is dropped.
        """
        while not self.try_send(client_id, packet, volatile=volatile):
            await self._room()

    def try_multicast(self, client_ids: Iterable[int], packet: Buffer, *, volatile: bool = False) -> bool:
        """Queues a packet for many clients without waiting: for all of them, or (False) for none."""
        current = self._current
        if current is None or current.is_full:
            return False
        for frame in multicast(client_ids, packet, volatile, self._max_packet_size):
            current.write(frame)
        return True

    async def multicast(self, client_ids: Iterable[int], packet: Buffer, *, volatile: bool = False) -> None:
        """Queues one packet for many clients. Each gets it as if it had been sent to that client alone.

        It crosses to the relay once for every 65,536 ids. An id that is listed twice gets it twice. Any iterable of
        ints will do; an ``array("Q")`` is the fastest.

        Raises :class:`NotConnectedError` while no relay is connected; the packet is dropped.
        """
        ids: array[int] = id_array(client_ids)
        while not self.try_multicast(ids, packet, volatile=volatile):
            await self._room()

    def try_kick(self, client_id: int) -> bool:
        """Ends a client's session without waiting. False: the queue is full, or no relay is connected."""
        current = self._current
        if current is None or current.is_full:
            return False
        check_client_id(client_id)
        current.write(_TAGGED.pack(TAG, client_id, Flag.KICK))
        return True

    async def kick(self, client_id: int) -> None:
        """Ends a client's session for good.

        Packets that were sent to it before are still delivered, unless it is away. A :class:`Failure` with the reason
        ``kicked`` follows, after packets that the relay had already accepted from the client.
        """
        while not self.try_kick(client_id):
            await self._room()

    # --- Ending

    async def stop(self) -> None:
        """Stops listening, sends what is queued for at most a second, and closes every connection.

        Events that had arrived can still be taken.
        """
        if self._is_stopped:
            return
        self._is_stopped = True
        self._stop_ticking()
        if self._finishing is not None:
            self._finishing.cancel()
        if self._server is not None:
            self._server.close()
            if self._address.path is not None:
                try:
                    os.unlink(self._address.path)
                except OSError:
                    pass
        connections = self._waiting + ([] if self._current is None else [self._current])
        for connection in connections:
            connection.close("the backend was stopped")
        closing = [connection.closed for connection in connections]
        if closing:
            await asyncio.wait(closing, timeout=1)
        for connection in connections:
            connection.abort("the backend was stopped")
        if closing:
            await asyncio.wait(closing)
        self._waiting.clear()
        self._inbox.finish()

    async def __aenter__(self) -> Backend:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- From the connections

    def accepted(self, connection: FirehoseConnection) -> None:
        """A connection was made. It waits until it has shown that it is a relay's."""
        if self._is_stopped:
            return connection.abort("the backend was stopped")
        self._waiting.append(connection)
        if len(self._waiting) > WAITING_CONNECTIONS:
            oldest = self._waiting.pop(0)
            _logger.warning("%s was dropped: too many connections wait that have shown nothing", oldest)
            oldest.abort("too many connections")
        self._loop.call_later(SILENT, self._take_silent)

    def spoke(self, connection: FirehoseConnection) -> None:
        """A connection has shown a whole valid packet."""
        current = self._current
        if current is None:
            self._advance()
        elif not current.has_spoken:
            current.abort("a connection that is a relay's came")
        else:
            self._finish(current, current.byte_count)

    def put(self, events: list[Event], size: int, arrival: float) -> None:
        """Events of the current connection, and when they may have arrived."""
        self._inbox.put(events, size, arrival)

    @property
    def is_full(self) -> bool:
        """Whether the current connection has to stop reading."""
        return self._inbox.is_full

    @property
    def ended(self) -> EndedClients:
        """The clients whose end was told."""
        return self._ended

    def wake_senders(self) -> None:
        """There is room to send, or the connection that had none has gone."""
        senders, self._senders = self._senders, deque()
        for sender in senders:
            if not sender.done():
                sender.set_result(None)

    def gone(self, connection: FirehoseConnection) -> None:
        """A connection has ended."""
        if connection is self._current:
            self._refused += connection.refused
            self._current = None
            if self._finishing is not None:
                self._finishing.cancel()
                self._finishing = None
            self.wake_senders()
            self._advance()
            self._take_silent()
        elif connection in self._waiting and not connection.has_spoken:
            # One that has spoken is still read when its turn comes.
            self._waiting.remove(connection)

    # ---

    def _tick(self) -> None:
        """Shows the connections that the event loop runs."""
        resolution = self._options.stop_resolution
        if resolution is None:
            return
        now = self._loop.time()
        for connection in self._waiting:
            connection.arrivals.tick(now)
        if self._current is not None:
            self._current.arrivals.tick(now)
        self._ticking = self._loop.call_later(resolution, self._tick)

    def _stop_ticking(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _on_room(self) -> None:
        if self._current is not None:
            self._current.resume()

    async def _room(self) -> None:
        """Waits until there may be room to send."""
        if self._current is None:
            raise NotConnectedError
        sender: asyncio.Future[None] = self._loop.create_future()
        self._senders.append(sender)
        await sender

    def _advance(self) -> None:
        """Begins with the next connection that has spoken, where there is none."""
        while self._current is None and not self._is_stopped:
            connection = next((each for each in self._waiting if each.has_spoken), None)
            if connection is None:
                return
            self._begin(connection)

    def _take_silent(self) -> None:
        """Begins with the newest connection that has long been silent, where there is none.

        The older ones are more likely to be left over.
        """
        if self._current is not None or self._is_stopped:
            return
        now = self._loop.time()
        for connection in reversed(self._waiting):
            if now - connection.since >= SILENT:
                return self._begin(connection)

    def _begin(self, connection: FirehoseConnection) -> None:
        self._waiting.remove(connection)
        self._current = connection
        self._begun += 1
        connection.begin(self._begun)

    def _finish(self, current: FirehoseConnection, byte_count: int, is_first: bool = True) -> None:
        """Reads the current connection to its end, for as long as it brings something."""
        if current is not self._current or (is_first and self._finishing is not None):
            return
        if not is_first and current.byte_count == byte_count and not current.is_paused:
            newer = next((each for each in self._waiting if each.has_spoken), None)
            _logger.warning(
                "%s was replaced by %s while it looked alive: either its network is dead, or two relays have this "
                "backend's address",
                current,
                newer,
            )
            return current.abort("a newer connection took its place")
        self._finishing = self._loop.call_later(FINISHING, self._finish, current, current.byte_count, False)


def _refuse_live_socket(where: Endpoint) -> None:
    """Raises where somebody listens on a unix socket: asyncio would take its place."""
    assert where.path is not None
    try:
        if not stat.S_ISSOCK(os.stat(where.path).st_mode):
            return
    except OSError:
        return
    probe: Any
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(where.path)
        except OSError:
            return
    raise CannotListenError(where, "somebody listens there already")
