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
    """What a backend holds. Sizes are bytes."""

    #: The relay's ``--max-packet-size``, without the tag.
    max_packet_size: int = DEFAULT_MAX_PACKET_SIZE
    #: The firehose is not read while events of this many bytes wait to be taken; each counts its data and 128 bytes.
    receive_limit: int = BACKEND_QUEUE
    #: ``send`` waits while packets of this many bytes wait to be sent.
    send_limit: int = BACKEND_QUEUE
    #: Tell of every ``unknown client`` that the relay answers. False: a client whose end was told gets no second
    #: ``Failure``, however many packets were sent to it.
    every_answer: bool = False

    def __post_init__(self) -> None:
        check_max_packet_size(self.max_packet_size)
        for field in ("receive_limit", "send_limit"):
            value = getattr(self, field)
            if value < 1:
                raise ValueError(f"{field}: {value}; at least 1 byte expected")


class Backend:
    """The backend of a relay: it accepts the relay's connection, and speaks with all of the relay's clients over it.

    ::

        async with await Backend.listen("127.0.0.1:42001") as backend:
            async for event in backend:
                if isinstance(event, Data):
                    await backend.send(event.client_id, event.data)

    **Which connection.** One is read at a time, the current one, and everything is sent on it. One that is accepted
    meanwhile waits until it has shown a whole valid packet: a stray HTTP request or a port scanner takes nothing over.
    Then the current one is finished: it is read to its end, or discarded when it has brought nothing for a second, with
    a warning in the log, since it looked alive. So packets of one client are never overtaken by later ones, and a
    backend serves one relay. (Where there is no current one, a connection that says nothing is taken after a second.)

    **When a connection is lost** the relay dials again, within seconds, and its clients stay. Events tell of the end
    and of the next connection, and then which sessions are alive: see :class:`ClientTable`. In between :meth:`send`
    raises :class:`NotConnectedError`. What either side had sent and the other had not yet read may be lost with the
    connection; the protocol has no acknowledgement.

    **Bounds.** While events of ``receive_limit`` wait to be taken the connection is not read, and TCP slows the relay.
    While packets of ``send_limit`` wait to be sent, :meth:`send` waits and :meth:`try_send` returns False. Neither
    waits for the other: a consumer that answers each event before it takes the next cannot deadlock.
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

    @classmethod
    async def listen(cls, endpoint: str | Endpoint, options: BackendOptions | None = None) -> Backend:
        """Starts to listen. Returns once connections are accepted.

        Port 0 takes any free port: see :attr:`address`. The file of a unix socket on which nobody listens any more is
        replaced. Keep the address to yourself: whoever can connect to it can play the relay.

        Raises :class:`CannotListenError`.
        """
        where = Endpoint.parse(endpoint)
        backend = cls(options or BackendOptions())
        loop = asyncio.get_running_loop()

        def make() -> FirehoseConnection:
            return FirehoseConnection(backend, backend._options.max_packet_size, backend._options.send_limit)

        try:
            if where.path is not None:
                _refuse_live_socket(where)
                backend._server = await loop.create_unix_server(make, where.path)
                backend._address = where
            else:
                backend._server = await loop.create_server(make, where.host, where.port, backlog=256)
                name = backend._server.sockets[0].getsockname()
                backend._address = Endpoint.of_socket_name(name) or where
        except OSError as error:
            raise CannotListenError(where, describe(error)) from None
        return backend

    # --- How it stands

    @property
    def address(self) -> Endpoint:
        """Where it listens, with the port that it got."""
        return self._address

    @property
    def firehose(self) -> Firehose | None:
        """The connection that is current; None where no relay is connected."""
        return None if self._current is None else self._current.firehose

    @property
    def waiting_bytes(self) -> int:
        """The queue's depth: events that wait to be taken, each counting its data and 128 bytes."""
        return self._inbox.cost

    @property
    def waiting_events(self) -> int:
        """Events that wait to be taken."""
        return self._inbox.count

    @property
    def unsent_bytes(self) -> int:
        """What was sent and is not with the kernel yet."""
        return 0 if self._current is None else self._current.unsent_bytes

    @property
    def refused_packet_count(self) -> int:
        """Tagged packets that were skipped; each is also an event."""
        return self._refused + (0 if self._current is None else self._current.refused)

    @property
    def repeated_failure_count(self) -> int:
        """Answers to packets for clients whose end had been told: they are counted and not told again."""
        return self._ended.repeated

    # --- Events

    def __aiter__(self) -> AsyncIterator[Event]:
        """What the relay says, one event at a time, until the backend is stopped."""
        return self

    async def __anext__(self) -> Event:
        event = await self._inbox.take()
        if event is None:
            raise StopAsyncIteration
        return event

    async def batches(self) -> AsyncIterator[list[Event]]:
        """The same events, as many at a time as arrived together: the fast way to take many."""
        while True:
            batch = await self._inbox.take_batch()
            if batch is None:
                return
            yield batch

    # --- Sending

    def try_send(self, client_id: int, packet: Buffer, *, volatile: bool = False) -> bool:
        """Queues a packet where that can be done now. False: the queue is full, or no relay is connected."""
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
        """Queues a packet for a client, and returns once it is queued; waits where too much is queued already.

        The relay answers a packet for an id that is no session with a :class:`Failure`, ``unknown client``. For a
        client that is away it keeps packets, within its ``--missed-packets-buffer``; over it the session ends.

        ``volatile``: the packet is worth nothing later. It is dropped where the client is away or already behind (a
        quarter of the relay's ``--client-send-buffer``), it ends no session and is never answered.

        Raises :class:`NotConnectedError` while no relay is connected: the packet was dropped.
        """
        while not self.try_send(client_id, packet, volatile=volatile):
            await self._room()

    def try_multicast(self, client_ids: Iterable[int], packet: Buffer, *, volatile: bool = False) -> bool:
        """Queues a packet for many clients where that can be done now: for all of them, or for nobody."""
        current = self._current
        if current is None or current.is_full:
            return False
        for frame in multicast(client_ids, packet, volatile, self._max_packet_size):
            current.write(frame)
        return True

    async def multicast(self, client_ids: Iterable[int], packet: Buffer, *, volatile: bool = False) -> None:
        """Queues one packet for many clients; each gets it as if it had been sent to it alone.

        It crosses the firehose once for each 65,536 ids. An id that stands twice gets it twice. An ``array("Q")`` of
        ids is taken as it is, which is the fastest; any other iterable of ints will do.

        Raises :class:`NotConnectedError` while no relay is connected: the packet was dropped.
        """
        ids: array[int] = id_array(client_ids)
        while not self.try_multicast(ids, packet, volatile=volatile):
            await self._room()

    def try_kick(self, client_id: int) -> bool:
        """Ends a client's session where that can be queued now."""
        current = self._current
        if current is None or current.is_full:
            return False
        check_client_id(client_id)
        current.write(_TAGGED.pack(TAG, client_id, Flag.KICK))
        return True

    async def kick(self, client_id: int) -> None:
        """Ends a client's session for good.

        What was sent to it before is still delivered; a client that is away loses it. The end comes as an event, a
        :class:`Failure` with the reason ``kicked``, after packets that the relay had already taken from the client.
        """
        while not self.try_kick(client_id):
            await self._room()

    # --- Ending

    async def stop(self) -> None:
        """Stops to listen and closes every connection, after what is queued, within a second.

        Events end after those that have come.
        """
        if self._is_stopped:
            return
        self._is_stopped = True
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

    def put(self, events: list[Event], size: int) -> None:
        """Events of the current connection."""
        self._inbox.put(events, size)

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
