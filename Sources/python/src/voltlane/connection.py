"""One socket of a client, from its handshake to its end. A client stands for the session, which outlives it."""

from __future__ import annotations

import asyncio
import functools
from ipaddress import ip_address
from struct import Struct
from typing import cast

from .endpoint import Endpoint
from .errors import (
    ClientError,
    ClosedDuringHandshakeError,
    ConnectionLostError,
    ConnectTimeoutError,
    HandshakeError,
    RelayPacketTooLargeError,
    UnreachableError,
    describe,
)
from .handshake import Handshake
from .limits import LONE_PACKET, MAX_HANDSHAKE_PACKET
from .options import ClientOptions
from .outbox import Outbox
from .queues import Inbox
from .sockets import is_its_own_peer, set_options
from .wire import PacketSplitter

_U32 = Struct("<I")


class Connection(asyncio.Protocol):
    """Cuts what comes into packets for the inbox, and writes what waits in the outbox."""

    def __init__(self, handshake: Handshake, inbox: Inbox[bytes], outbox: Outbox, options: ClientOptions) -> None:
        loop = asyncio.get_running_loop()
        self.handshake = handshake
        self.remote: Endpoint | None = None
        #: Resolved once the handshake is done; fails where it is not.
        self.opened: asyncio.Future[None] = loop.create_future()
        #: Resolved at the end of a connection that was opened: why it ended; None where the relay closed it between two
        #: packets.
        self.ended: asyncio.Future[ClientError | None] = loop.create_future()
        self._loop = loop
        self._inbox = inbox
        self._outbox = outbox
        self._options = options
        self._splitter = PacketSplitter(MAX_HANDSHAKE_PACKET)
        self._transport: asyncio.Transport | None = None
        self._is_writing = False
        self._has_shut = False
        self._pump_is_due = False
        # The first cause of the end.
        self._ending: ClientError | None = None
        self._is_over = False
        # Bytes that were read since the inbox last got something.
        self._unaccounted = 0
        self._last_read = 0.0
        self._last_write = 0.0
        self._beat: asyncio.TimerHandle | None = None

    # --- From the client

    def pump(self) -> None:
        """Writes what waits, soon: packets that are sent one after the other leave together."""
        if not self._pump_is_due and not self._is_writing:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def resume(self) -> None:
        """There is room in the inbox again."""
        if self._transport is not None and not self._is_over:
            self._transport.resume_reading()

    def drop(self, cause: ClientError | None) -> None:
        """Ends it at once."""
        if self._ending is None:
            self._ending = cause
        if self._transport is not None:
            self._transport.abort()

    # --- From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.remote = Endpoint.of_socket_name(transport.get_extra_info("peername"))
        if is_its_own_peer(transport):
            return self._fail(UnreachableError(self.remote, "nobody listens there"))
        try:
            set_options(transport, self._options.keepalive, self._options.user_timeout)
        except OSError:
            # It has ended already: a relay that takes nobody in closes at once.
            return self._fail(ClosedDuringHandshakeError())
        # One write is under way at most, so that it is known which packets the kernel has.
        self._transport.set_write_buffer_limits(high=0)
        self._transport.write(self.handshake.opening)

    def data_received(self, data: bytes) -> None:
        self._last_read = self._loop.time()
        if not self.handshake.is_done:
            if self._shake(data):
                data = b""
            else:
                return
        self._unaccounted += len(data)
        packets = self._splitter.feed(data)
        if packets:
            # The size of what was read is close enough to that of the packets, and needs no loop.
            self._inbox.put(packets, self._unaccounted)
            self._unaccounted = 0
        if self._splitter.error is not None:
            return self.drop(RelayPacketTooLargeError(self._splitter.error))
        if self._inbox.is_full and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if not self.handshake.is_done:
            return self._fail(self.handshake.ending(not self._splitter.is_within_packet))
        if self._splitter.is_within_packet and self._ending is None:
            self._ending = ConnectionLostError("the relay closed it within a packet")
        self._is_over = True
        # What waits to be written has nowhere to go.
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._is_writing = True

    def resume_writing(self) -> None:
        self._is_writing = False
        if self.handshake.is_done:
            self._outbox.wrote()
            self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if not self.opened.done():
            self._fail(self.handshake.ending(False))
        if not self.handshake.is_done or self.ended.done():
            return
        if self._is_writing:
            self._outbox.lost()
        if error is not None and self._ending is None:
            self._ending = ConnectionLostError(describe(error))
        self._is_over = True
        self._transport = None
        self.ended.set_result(self._ending)

    # ---

    def _fail(self, error: ClientError) -> None:
        """Ends the attempt."""
        if not self.opened.done():
            self.opened.set_exception(error)
            # Whoever waits for it may have given up.
            self.opened.exception()
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    def _shake(self, data: bytes) -> bool:
        """Takes handshake packets, one by one: what lies behind the last is application data."""
        assert self._transport is not None
        while not self.opened.done():
            packets = self._splitter.feed(data, 1)
            data = b""
            if self._splitter.error is not None:
                self._fail(HandshakeError(str(self._splitter.error)))
            elif not packets:
                return False
            else:
                try:
                    answer = self.handshake.receive(packets[0])
                except ClientError as error:
                    self._fail(error)
                else:
                    if answer:
                        self._transport.write(answer)
                    if self.handshake.is_done:
                        self._begin()
                        return True
        return False

    def _begin(self) -> None:
        self._splitter.maximum = self._options.max_packet_size
        self._inbox.on_room = self.resume
        self.opened.set_result(None)
        self._last_read = self._last_write = self._loop.time()
        heartbeat = self._options.heartbeat
        if heartbeat is not None:
            self._beat = self._loop.call_later(heartbeat.every, self._on_beat)
        self.pump()

    def _pump(self) -> None:
        self._pump_is_due = False
        transport = self._transport
        if transport is None or not self.handshake.is_done or self._is_over:
            return
        outbox = self._outbox
        while not (self._is_writing or transport.is_closing()):
            packets = outbox.next_write()
            if not packets:
                break
            self._last_write = self._loop.time()
            if len(packets[0]) > LONE_PACKET:
                # Joined, because two writes would be two segments, and two in the buffer.
                transport.write(b"".join((_U32.pack(len(packets[0])), packets[0])))
            else:
                pack = _U32.pack
                transport.write(b"".join([part for packet in packets for part in (pack(len(packet)), packet)]))
            if transport.is_closing():
                # The kernel refused all of it.
                outbox.refused()
            elif not self._is_writing:
                outbox.wrote()
        if transport.is_closing():
            return
        if outbox.finishing is not None and outbox.is_empty and not self._has_shut:
            self._has_shut = True
            try:
                transport.write_eof()
            except OSError:
                # It was reset, which is told next.
                return
            if not outbox.finishing.done():
                outbox.finishing.set_result(None)

    def _on_beat(self) -> None:
        """Sends a heartbeat where nothing else was sent, and looks whether the last one was answered."""
        heartbeat = self._options.heartbeat
        assert heartbeat is not None
        if self._is_over or self._has_shut or self._outbox.is_closed:
            return
        due = self._last_write + heartbeat.every
        now = self._loop.time()
        if now < due:
            self._beat = self._loop.call_at(due, self._on_beat)
            return
        self._last_write = now
        if not self._outbox.is_finishing and self._outbox.try_put(heartbeat.packet):
            self.pump()
        if heartbeat.answer_within is not None:
            # A relay whose packets nobody takes is not read, and silent for no fault of its own.
            check = functools.partial(self._check_answer, now, heartbeat.answer_within)
            self._loop.call_later(heartbeat.answer_within, check)
        self._beat = self._loop.call_later(heartbeat.every, self._on_beat)

    def _check_answer(self, sent: float, within: float) -> None:
        if not self._is_over and self._last_read < sent and not self._inbox.is_full:
            self.drop(ConnectionLostError(f"no answer to a heartbeat within {within:g} s (answer_within)"))


async def connect(
    endpoint: Endpoint,
    handshake: Handshake,
    inbox: Inbox[bytes],
    outbox: Outbox,
    options: ClientOptions,
    timeout: float,
) -> Connection:
    """Connects and shakes hands, all within ``timeout``."""
    made: list[Connection] = []

    def make() -> Connection:
        made.append(Connection(handshake, inbox, outbox, options))
        return made[-1]

    async def attempt() -> Connection:
        loop = asyncio.get_running_loop()
        try:
            if endpoint.path is not None:
                await loop.create_unix_connection(make, endpoint.path)
            else:
                # Only a name has several addresses, to be tried side by side.
                stagger = None if _is_address(endpoint.host) else 0.25
                await loop.create_connection(make, endpoint.host, endpoint.port, happy_eyeballs_delay=stagger)
        except OSError as error:
            raise UnreachableError(endpoint, describe(error)) from None
        await made[-1].opened
        return made[-1]

    try:
        return await asyncio.wait_for(attempt(), timeout)
    except BaseException as error:
        for connection in made:
            connection.drop(None)
        if isinstance(error, asyncio.TimeoutError):
            raise ConnectTimeoutError(timeout) from None
        raise


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
