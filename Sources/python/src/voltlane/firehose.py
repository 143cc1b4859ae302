"""One connection of a relay, as the backend sees it."""

from __future__ import annotations

import asyncio
import logging
from struct import Struct
from typing import TYPE_CHECKING, cast

from .arrivals import ArrivalClock
from .endpoint import Endpoint
from .errors import describe
from .events import Connected, Disconnected, Event, Firehose, FirehoseParser
from .limits import BACKEND_KEEPALIVE, LARGEST_READ, SIZE_PREFIX, TAG, WRITE_SIZE
from .sockets import set_options
from .wire import tagged_packet_problem

if TYPE_CHECKING:
    from .backend import Backend, BackendOptions

_logger = logging.getLogger("voltlane.backend")

_U32 = Struct("<I")


class FirehoseConnection(asyncio.Protocol):
    """It waits until it has shown a whole valid packet and its turn comes; then it cuts the stream into events."""

    def __init__(self, backend: Backend, options: BackendOptions) -> None:
        self.firehose: Firehose | None = None
        #: A whole valid packet has come.
        self.has_spoken = False
        #: Bytes that have come.
        self.byte_count = 0
        #: When it was accepted.
        self.since = asyncio.get_running_loop().time()
        #: When what is read may have arrived.
        self.arrivals = ArrivalClock(options.stop_resolution, self.since)
        #: There is no room to send.
        self.is_full = False
        #: It is not read, for the backend's sake.
        self.is_paused = False
        #: Resolved at its end.
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._backend = backend
        self._max_packet_size = options.max_packet_size
        self._send_limit = options.send_limit
        self._remote: Endpoint | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: FirehoseParser | None = None
        # What has come before its turn.
        self._held = bytearray()
        self._unaccounted = 0
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._flush_is_due = False
        self._has_ended = False
        # The first cause of the end.
        self._ending: str | None = None

    def __str__(self) -> str:
        name = "a connection" if self.firehose is None else f"firehose {self.firehose.number}"
        return f"{name} from {self._remote or 'a unix socket'}"

    # --- From the backend

    @property
    def refused(self) -> int:
        """Tagged packets that were skipped."""
        return 0 if self._parser is None else self._parser.refused

    @property
    def unsent_bytes(self) -> int:
        """What was written and is not with the kernel."""
        buffered = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._chunk_bytes + buffered

    def begin(self, number: int) -> None:
        """Its turn has come."""
        self.firehose = Firehose(number, self._remote)
        self._parser = FirehoseParser(self._max_packet_size, self.firehose, self._backend.ended)
        _logger.info("%s is read from now on", self)
        now = self._loop.time()
        self._backend.put([Connected(self.firehose)], 0, now)
        held = bytes(self._held)
        self._held = bytearray()
        self._read(held, self.arrivals.read(now, not self.has_spoken))
        if self._transport is None:
            self._end()
        elif not self.is_paused:
            self._transport.resume_reading()

    def write(self, *parts: bytes) -> None:
        """Queues bytes: what is written one after the other leaves together."""
        self._chunks += parts
        for part in parts:
            self._chunk_bytes += len(part)
        if self._chunk_bytes >= WRITE_SIZE:
            self._flush()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def resume(self) -> None:
        """There is room for events again."""
        if self.is_paused:
            self.is_paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def close(self, reason: str) -> None:
        """Ends it after what is queued to be sent."""
        self._ending = self._ending or reason
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Ends it at once."""
        self._ending = self._ending or reason
        if self._transport is not None:
            self._transport.abort()

    # --- From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._remote = Endpoint.of_socket_name(transport.get_extra_info("peername"))
        try:
            set_options(transport, BACKEND_KEEPALIVE, BACKEND_KEEPALIVE)
        except OSError:
            # It has ended already, which is told next.
            pass
        self._transport.set_write_buffer_limits(high=self._send_limit, low=self._send_limit // 2)
        self._backend.accepted(self)

    def data_received(self, data: bytes) -> None:
        self.byte_count += len(data)
        if self._parser is not None:
            # A read that leaves room has taken everything there was.
            arrival = self.arrivals.read(self._loop.time(), len(data) < LARGEST_READ)
            return self._read(data, arrival)
        self._held += data
        if not self.has_spoken and self._ending is None:
            self._listen()

    def eof_received(self) -> bool:
        # A relay that ends waits for this close. What is queued for it goes out before.
        if self._transport is not None:
            self._flush()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if error is not None and self._ending is None:
            self._ending = f"it was lost: {describe(error)}"
        self._chunks.clear()
        self._chunk_bytes = 0
        if not self.closed.done():
            self.closed.set_result(None)
        if self._parser is not None:
            self._end()
        elif self._ending is not None:
            # It was given up: what it said is worth nothing.
            self.has_spoken = False
        self._backend.gone(self)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._backend.wake_senders()

    # ---

    def _listen(self) -> None:
        """Looks for the first whole valid packet, and skips what is none."""
        held = self._held
        position = 0
        while len(held) - position >= SIZE_PREFIX:
            size: int = _U32.unpack_from(held, position)[0]
            if size > self._max_packet_size + TAG:
                first = bytes(held[position : position + 16])
                _logger.warning("%s was closed: what it sent is no packet of a relay: %r", self, first)
                return self.abort("it sent no packet of a relay")
            after = position + SIZE_PREFIX + size
            if after > len(held):
                break
            flag = held[position + SIZE_PREFIX + TAG - 1] if size >= TAG else 0
            if tagged_packet_problem(size, flag) is None:
                self.has_spoken = True
                break
            position = after
        del held[:position]
        if self.has_spoken:
            # The rest is not needed before its turn comes.
            if self._transport is not None:
                self._transport.pause_reading()
            self.arrivals.pause(self._loop.time())
            self._backend.spoke(self)

    def _read(self, data: bytes, arrival: float) -> None:
        assert self._parser is not None
        self._unaccounted += len(data)
        events: list[Event] = self._parser.feed(data)
        if events:
            self.has_spoken = True
            self._backend.put(events, self._unaccounted, arrival)
            self._unaccounted = 0
        if self._parser.error is not None:
            _logger.warning("%s was closed: %s", self, self._parser.error)
            return self.abort(str(self._parser.error))
        if self._backend.is_full and not self.is_paused:
            self.is_paused = True
            self.arrivals.pause(self._loop.time())
            if self._transport is not None:
                self._transport.pause_reading()

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._chunks and self._transport is not None:
            chunks = self._chunks
            self._chunks = []
            self._chunk_bytes = 0
            self._transport.write(b"".join(chunks))

    def _end(self) -> None:
        if self.firehose is not None and not self._has_ended:
            self._has_ended = True
            ending = self._ending or "the relay closed it"
            _logger.info("%s has ended: %s", self, ending)
            self._backend.put([Disconnected(self.firehose, ending)], 0, self._loop.time())
