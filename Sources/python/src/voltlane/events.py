"""What a relay tells its backend, and the parser that reads it. No I/O, nothing but Python."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, Union

from .endpoint import Endpoint
from .errors import OversizedPacketError, WireError
from .limits import DEFAULT_MAX_PACKET_SIZE, ENDED_CLIENTS, SIZE_PREFIX, TAG
from .wire import Address as IPAddress
from .wire import Flag, read_address, tagged_packet_problem

_TAGGED = Struct("<IQB")
_HEADER = SIZE_PREFIX + TAG
_U32 = Struct("<I")

#: The reason of the answer to a packet for an id that is no session. It is used for nothing else.
UNKNOWN_CLIENT = "unknown client"


class Firehose(NamedTuple):
    """One connection of a relay."""

    #: 1 for the first that this backend read, 2 for the second, and so on.
    number: int = 1
    #: None for a unix socket.
    remote: Endpoint | None = None


class Data(NamedTuple):
    """A client's packet; it may be empty."""

    client_id: int
    data: bytes


class Failure(NamedTuple):
    """The client's session is over; nothing more is heard of it.

    ``unknown client`` is the relay's answer to a packet for an id that is not a session. It is reported only for
    clients whose failure was not reported already, no matter how many packets were on their way to them.
    """

    client_id: int
    reason: str


class Reconnection(NamedTuple):
    """The client is back after being away, or is announced on a new connection of the relay.

    Both mean the same: the session goes on, and packets that were sent to the client may have been lost.
    """

    client_id: int


class Away(NamedTuple):
    """The client lost its connection and its session waits for it (relay with ``--away on``).

    :class:`Reconnection` means that it is back, :class:`Failure` that its session has ended.
    """

    client_id: int


class Address(NamedTuple):
    """Where the client connects from (relay with ``--addresses on``).

    It is the first event of a client, and follows each of its reconnections.
    """

    client_id: int
    #: None for a client on a unix socket.
    host: IPAddress | None
    port: int


class Connected(NamedTuple):
    """A connection of the relay is being read.

    On every connection but its first, a relay begins with a :class:`Reconnection` for each session that is alive. Then
    comes :class:`Announced`.
    """

    firehose: Firehose


class Announced(NamedTuple):
    """Every session that was alive when the connection began has been named since :class:`Connected`.

    It comes once for each connection, the first included, right before the first packet that is not part of the list:
    an empty list cannot be seen. A relay with ``--announce off`` names nobody.
    """

    firehose: Firehose


class Disconnected(NamedTuple):
    """The connection has ended; ``reason`` says how, for people."""

    firehose: Firehose
    reason: str


class RefusedPacket(NamedTuple):
    """A tagged packet that was skipped: short, malformed, of an unknown flag or of the wrong direction."""

    problem: str


Event = Union[Data, Failure, Reconnection, Away, Address, Connected, Announced, Disconnected, RefusedPacket]


class EndedClients:
    """The clients whose end was told, the latest of them."""

    __slots__ = ("_every_answer", "_ids", "repeated")

    def __init__(self, every_answer: bool = False) -> None:
        self._every_answer = every_answer
        self._ids: dict[int, None] = {}
        #: Answers that were left out, because the client's end had been told.
        self.repeated = 0

    def is_news(self, client_id: int, reason: str) -> bool:
        """Whether this failure has to be told. It is noted as told."""
        if client_id in self._ids:
            if reason == UNKNOWN_CLIENT and not self._every_answer:
                self.repeated += 1
                return False
        elif len(self._ids) >= ENDED_CLIENTS:
            del self._ids[next(iter(self._ids))]
        self._ids[client_id] = None
        return True


class FirehoseParser:
    """Cuts the stream of one firehose connection into events.

    >>> parser = FirehoseParser()
    >>> parser.feed(bytes.fromhex("0e000000efcdab89674523010068656c6c6f"))
    [Announced(firehose=Firehose(number=1, remote=None)), Data(client_id=81985529216486895, data=b'hello')]

    A size above the maximum ends it: :attr:`error` is set, and nothing more is taken. The events before it are given.
    """

    __slots__ = ("_announcing", "_ended", "_held", "_last", "_need", "error", "firehose", "maximum", "refused")

    def __init__(
        self,
        max_packet_size: int = DEFAULT_MAX_PACKET_SIZE,
        firehose: Firehose = Firehose(),  # noqa: B008
        ended: EndedClients | None = None,
    ) -> None:
        self.maximum = max_packet_size + TAG
        self.firehose = firehose
        self.error: OversizedPacketError | None = None
        #: Tagged packets that were skipped; each is also an event.
        self.refused = 0
        self._ended = EndedClients() if ended is None else ended
        self._held = bytearray()
        self._need = SIZE_PREFIX
        # Until a packet comes that belongs to no announcement.
        self._announcing = True
        # The client that was announced last: its address and its being away belong to the announcement.
        self._last: int | None = None

    @property
    def is_within_packet(self) -> bool:
        """Whether the stream would break off within a packet if it ended now."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Event]:
        """Takes the next bytes of the stream, and gives the events that they end."""
        events: list[Event] = []
        if self.error is not None:
            return events
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return events
            data = bytes(self._held)
            self._held.clear()
        position = self._read(data, events)
        if position < len(data) and self.error is None:
            self._held += memoryview(data)[position:]
        return events

    def _read(self, data: bytes, events: list[Event]) -> int:
        """Reads whole packets from ``data``; returns where the rest begins, and notes how much of it is needed."""
        # The loop that every packet goes through. A tuple's own constructor takes a third of the time that a
        # NamedTuple's does.
        unpack = _TAGGED.unpack_from
        new = tuple.__new__
        append = events.append
        maximum = self.maximum
        position = 0
        end = len(data)
        last = end - _HEADER
        while position <= last:
            size, client_id, flag = unpack(data, position)
            if size > maximum:
                self.error = OversizedPacketError(size, maximum)
                return position
            after = position + SIZE_PREFIX + size
            if after > end:
                self._need = SIZE_PREFIX + size
                return position
            if flag == 0 and size >= TAG and not self._announcing:
                append(new(Data, (client_id, data[position + _HEADER : after])))
            else:
                self._read_other(size, client_id, flag, data[position + _HEADER : after], events)
            position = after
        # Less than a header is left: the beginning of a packet, or packets that are shorter than a tag.
        while end - position >= SIZE_PREFIX:
            (size,) = _U32.unpack_from(data, position)
            if size > maximum:
                self.error = OversizedPacketError(size, maximum)
                return position
            if position + SIZE_PREFIX + size > end:
                self._need = SIZE_PREFIX + size
                return position
            self._read_other(size, 0, 0, b"", events)
            position += SIZE_PREFIX + size
        self._need = SIZE_PREFIX
        return position

    def _read_other(self, size: int, client_id: int, flag: int, data: bytes, events: list[Event]) -> None:
        problem = tagged_packet_problem(size, flag)
        event: Event | None = None
        if problem is not None:
            event = self._refuse(problem)
        elif flag == Flag.DATA:
            event = Data(client_id, data)
        elif flag == Flag.RECONNECTION:
            event = Reconnection(client_id)
            if self._announcing:
                self._last = client_id
                events.append(event)
                return
        elif flag == Flag.FAILURE:
            reason = data.decode("utf-8", "replace")
            if self._ended.is_news(client_id, reason):
                event = Failure(client_id, reason)
        elif flag == Flag.AWAY:
            event = Away(client_id)
        else:
            try:
                event = Address(client_id, *read_address(data))
            except WireError as error:
                event = self._refuse(str(error))
        if self._announcing:
            belongs = flag in (Flag.AWAY, Flag.ADDRESS) and client_id == self._last and problem is None
            if not belongs:
                self._announcing = False
                events.append(Announced(self.firehose))
        if event is not None:
            events.append(event)

    def _refuse(self, problem: str) -> RefusedPacket:
        self.refused += 1
        return RefusedPacket(problem)
