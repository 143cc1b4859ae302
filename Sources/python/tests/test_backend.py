"""A backend against a relay that is played."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import Link, asynchronous, dial, dial_unix, until, vector

from voltlane import (
    Announced,
    Away,
    Backend,
    BackendOptions,
    CannotListenError,
    Connected,
    Data,
    Disconnected,
    Event,
    Failure,
    NotConnectedError,
    PacketTooLargeError,
    Reconnection,
    RefusedPacket,
)
from voltlane import backend as backend_module
from voltlane.limits import WAITING_CONNECTIONS
from voltlane.wire import Flag, framed, tagged

HELLO = tagged(7, Flag.DATA, b"hello")

E = TypeVar("E")


async def next_of(backend: Backend, kind: type[E]) -> E:
    """The next event of a kind; what comes before it is left out."""
    async for event in backend:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events have ended")


async def listening(**options: Any) -> Backend:
    return await Backend.listen("127.0.0.1:0", BackendOptions(**options))


async def connected(backend: Backend) -> Link:
    """A relay that has been taken."""
    link = await dial(backend.address.port)
    link.write(HELLO)
    assert await next_of(backend, Data) == Data(7, b"hello")
    return link


async def fill(backend: Backend) -> None:
    """Sends until there is no room, with a relay that does not read."""
    packet = bytes(100_000)
    while backend.try_send(7, packet):  # noqa: ASYNC110 - the loop must turn for the kernel to take something.
        await asyncio.sleep(0)


@asynchronous
async def test_packets_go_both_ways() -> None:
    async with await listening() as backend:
        link = await dial(backend.address.port)
        link.write(HELLO + tagged(8, Flag.RECONNECTION) + tagged(8, Flag.AWAY) + tagged(7, Flag.FAILURE, b"kicked"))
        events = [await backend.__anext__() for _ in range(6)]
        firehose = backend.firehose
        assert firehose is not None
        assert events == [
            Connected(firehose),
            Announced(firehose),
            Data(7, b"hello"),
            Reconnection(8),
            Away(8),
            Failure(7, "kicked"),
        ]
        await backend.send(7, b"a")
        await backend.send(7, bytearray(b"b"), volatile=True)
        await backend.kick(7)
        await backend.multicast([7, 8], b"all")
        await backend.multicast({9}, b"pos", volatile=True)
        assert await link.read() == tagged(7, Flag.DATA, b"a")[4:]
        assert await link.read() == tagged(7, Flag.VOLATILE, b"b")[4:]
        assert await link.read() == tagged(7, Flag.KICK)[4:]
        assert (await link.read()).hex() == (
            "00" * 8 + "06" + "00" + "02000000" + "0700000000000000" + "0800000000000000" + b"all".hex()
        )
        assert (await link.read()).hex() == "00" * 8 + "06" + "05" + "01000000" + "0900000000000000" + b"pos".hex()


@asynchronous
async def test_the_multicast_of_the_vectors() -> None:
    async with await listening() as backend:
        link = await connected(backend)
        await backend.multicast([0x1122334455667788, 0x99AABBCCDDEEFF00], b"all", volatile=True)
        assert framed(await link.read()) == vector("firehose_extensions_framed", "multicast")
        await backend.multicast([], b"nobody")
        await backend.kick(1)
        assert await link.read() == tagged(1, Flag.KICK)[4:]


@asynchronous
async def test_batches_have_all_that_came_together() -> None:
    async with await listening() as backend:
        link = await connected(backend)
        frames = [tagged(number, Flag.DATA, b"%d" % number) for number in range(1000)]
        link.write(b"".join(frames))
        got: list[Event] = []
        batches = 0
        async for batch in backend.batches():
            got += batch
            batches += 1
            if len(got) == 1000:
                break
        assert got == [Data(number, b"%d" % number) for number in range(1000)]
        assert batches < 100
        assert backend.waiting_events == 0
        assert backend.waiting_bytes == 0


@asynchronous
async def test_without_a_relay_nothing_is_sent() -> None:
    async with await listening() as backend:
        for send in (backend.send(7, b""), backend.multicast([7], b""), backend.kick(7)):
            with pytest.raises(NotConnectedError, match="no relay is connected"):
                await send
        assert not backend.try_send(7, b"")
        assert not backend.try_multicast([7], b"")
        assert not backend.try_kick(7)
        assert backend.unsent_bytes == 0


@asynchronous
async def test_arguments_that_are_refused() -> None:
    async with await listening(max_packet_size=4) as backend:
        link = await dial(backend.address.port)
        link.write(tagged(7, Flag.DATA))
        await next_of(backend, Data)
        with pytest.raises(PacketTooLargeError, match="packet: 5 bytes"):
            await backend.send(7, b"hello")
        with pytest.raises(PacketTooLargeError, match="packet: 5 bytes"):
            await backend.multicast([7], b"hello")
        with pytest.raises(TypeError, match="packet: str given"):
            await backend.send(7, "text")  # type: ignore[arg-type]
        for wrong in (-1, 1 << 64):
            with pytest.raises(ValueError, match=f"client_id: {wrong} does not fit in 64 bits"):
                await backend.send(wrong, b"")
            with pytest.raises(ValueError, match="client_id"):
                await backend.kick(wrong)
            with pytest.raises(ValueError, match="client_id"):
                await backend.multicast([1, wrong], b"")
        with pytest.raises(TypeError, match="client_id: str given"):
            await backend.send("7", b"")  # type: ignore[arg-type]
        await backend.send(7, b"fits")
        assert await link.read() == tagged(7, Flag.DATA, b"fits")[4:]
    with pytest.raises(ValueError, match="send_limit: 0"):
        BackendOptions(send_limit=0)
    with pytest.raises(ValueError, match="max_packet_size: 0"):
        BackendOptions(max_packet_size=0)


@asynchronous
async def test_skipped_packets_are_counted() -> None:
    async with await listening() as backend:
        link = await connected(backend)
        link.write(tagged(7, Flag.KICK) + bytes(4) + tagged(7, Flag.FAILURE, b"memory"))
        assert "kick" in (await next_of(backend, RefusedPacket)).problem
        assert "shorter" in (await next_of(backend, RefusedPacket)).problem
        assert backend.refused_packet_count == 2
        link.write(tagged(7, Flag.FAILURE, b"unknown client") * 5 + tagged(8, Flag.FAILURE, b"memory"))
        assert [(await next_of(backend, Failure)).client_id for _ in range(2)] == [7, 8]
        assert backend.repeated_failure_count == 5
        link.close()
        await next_of(backend, Disconnected)
        assert backend.refused_packet_count == 2


# --- Which connection


@asynchronous
async def test_the_relay_dials_again() -> None:
    async with await listening() as backend:
        first = await connected(backend)
        first.reset()
        assert "Connection reset" in (await next_of(backend, Disconnected)).reason
        with pytest.raises(NotConnectedError):
            await backend.send(7, b"")
        second = await dial(backend.address.port)
        second.write(tagged(7, Flag.RECONNECTION) + tagged(7, Flag.DATA))
        assert (await next_of(backend, Connected)).firehose.number == 2
        assert await next_of(backend, Reconnection) == Reconnection(7)
        assert (await next_of(backend, Announced)).firehose.number == 2
        await backend.send(7, b"back")
        assert await second.read() == tagged(7, Flag.DATA, b"back")[4:]


@asynchronous
async def test_the_relays_end_is_answered() -> None:
    async with await listening() as backend:
        link = await connected(backend)
        assert backend.try_send(7, b"queued")
        link.close()
        # What was queued goes out, then the backend closes as well.
        assert await link.read() == tagged(7, Flag.DATA, b"queued")[4:]
        assert await link.reader.read() == b""
        assert (await next_of(backend, Disconnected)).reason == "the relay closed it"


@pytest.mark.parametrize(
    "stray",
    [
        b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n",
        bytes.fromhex("16030100f8010000f40303") + bytes(240),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"\x00",
        bytes(4096),
        tagged(7, Flag.KICK),
        tagged(7, Flag.MULTICAST, b"xxxxx"),
        HELLO[:-1],
    ],
)
@asynchronous
async def test_a_stray_connection_takes_nothing_over(stray: bytes) -> None:
    async with await listening() as backend:
        link = await connected(backend)
        other = await dial(backend.address.port)
        other.write(stray)
        await until(lambda: bool(backend._waiting) or other.reader.at_eof())
        for number in range(20):
            link.write(tagged(7, Flag.DATA, b"%d" % number))
            assert await next_of(backend, Data) == Data(7, b"%d" % number)
        assert backend.firehose is not None
        assert backend.firehose.number == 1
        other.writer.close()
        await until(lambda: not backend._waiting)
        await backend.send(7, b"still here")
        assert await link.read() == tagged(7, Flag.DATA, b"still here")[4:]


@asynchronous
async def test_a_stray_request_is_closed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async with await listening() as backend:
        with caplog.at_level(logging.WARNING, "voltlane.backend"):
            other = await dial(backend.address.port)
            other.write(b"GET / HTTP/1.1\r\n\r\n")
            await other.ended()
        assert "is no packet of a relay: b'GET / HTTP/1.1" in caplog.text
        # Nobody heard of it as of a relay.
        assert backend.waiting_events == 0


@asynchronous
async def test_a_newer_connection_waits_for_the_end_of_the_older(caplog: pytest.LogCaptureFixture) -> None:
    async with await listening() as backend:
        old = await connected(backend)
        new = await dial(backend.address.port)
        new.write(tagged(7, Flag.RECONNECTION) + tagged(7, Flag.DATA, b"new"))
        await until(lambda: any(each.has_spoken for each in backend._waiting))
        old.write(tagged(7, Flag.DATA, b"old"))
        old.close()
        events: list[Event] = []
        async for event in backend:
            events.append(event)
            if event == Data(7, b"new"):
                break
        assert [type(event) for event in events] == [Data, Disconnected, Connected, Reconnection, Announced, Data]
        assert events[0] == Data(7, b"old")
        assert "looked alive" not in caplog.text


@asynchronous
async def test_a_replaced_connection_that_looks_alive_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend_module, "FINISHING", 0.05)
    async with await listening() as backend:
        old = await connected(backend)
        new = await dial(backend.address.port)
        new.write(tagged(8, Flag.DATA, b"new"))
        assert (await next_of(backend, Disconnected)).reason == "a newer connection took its place"
        assert await next_of(backend, Data) == Data(8, b"new")
        assert "was replaced by a connection from" in caplog.text
        assert "two relays have this backend's address" in caplog.text
        await old.ended()
        await backend.send(8, b"x")
        assert await new.read() == tagged(8, Flag.DATA, b"x")[4:]


@asynchronous
async def test_a_connection_that_ended_is_read_when_its_turn_comes() -> None:
    async with await listening() as backend:
        old = await connected(backend)
        new = await dial(backend.address.port)
        new.write(tagged(8, Flag.DATA, b"short"))
        new.close()
        await until(lambda: any(each.has_spoken for each in backend._waiting))
        old.close()
        await next_of(backend, Disconnected)
        assert await next_of(backend, Data) == Data(8, b"short")
        assert (await next_of(backend, Disconnected)).firehose.number == 2


@asynchronous
async def test_a_silent_connection_is_taken_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "SILENT", 0.02)
    async with await listening() as backend:
        silent = await dial(backend.address.port)
        assert (await next_of(backend, Connected)).firehose.number == 1
        await backend.send(7, b"x")
        assert await silent.read() == tagged(7, Flag.DATA, b"x")[4:]
        # One that speaks is more likely the relay's: it does not have to wait.
        await connected(backend)
        await silent.ended()
        assert backend.firehose is not None
        assert backend.firehose.number == 2


@asynchronous
async def test_a_crowd_of_silent_connections_is_bounded() -> None:
    async with await listening() as backend:
        link = await connected(backend)
        crowd = [await dial(backend.address.port) for _ in range(WAITING_CONNECTIONS + 3)]
        for dropped in crowd[:3]:
            await dropped.ended()
        assert len(backend._waiting) == WAITING_CONNECTIONS
        link.write(HELLO)
        assert await next_of(backend, Data) == Data(7, b"hello")


@asynchronous
async def test_a_first_packet_of_the_largest_size() -> None:
    async with await listening() as backend:
        large = os.urandom(8_388_599)
        link = await dial(backend.address.port)
        link.write(tagged(7, Flag.DATA, large))
        assert await next_of(backend, Data) == Data(7, large)
        link.write(tagged(7, Flag.DATA, large) + bytes.fromhex("01008000"))
        assert await next_of(backend, Data) == Data(7, large)
        assert "8388609 bytes was announced; at most 8388608" in (await next_of(backend, Disconnected)).reason


# --- Bounds


@asynchronous
async def test_send_waits_for_a_relay_that_does_not_read() -> None:
    async with await listening(send_limit=100_000) as backend:
        link = await connected(backend)
        link.pause()
        packet = bytes(10_000)
        count = 0
        while backend.try_send(7, packet):
            count += 1
            await asyncio.sleep(0)
        # It is full above the limit, until half of it has gone.
        assert 50_000 < backend.unsent_bytes < 200_000
        assert not backend.try_multicast([7], b"")
        assert not backend.try_kick(7)
        sending = asyncio.ensure_future(backend.send(7, b"last"))
        await asyncio.sleep(0.01)
        assert not sending.done()
        link.resume()
        for _ in range(count):
            assert len(await link.read()) == 10_009
        await sending
        assert await link.read() == tagged(7, Flag.DATA, b"last")[4:]


@asynchronous
async def test_a_send_that_waits_ends_with_the_connection() -> None:
    async with await listening(send_limit=1000) as backend:
        link = await connected(backend)
        link.pause()
        await fill(backend)
        sending = [asyncio.ensure_future(backend.send(7, b"")) for _ in range(3)]
        await asyncio.sleep(0)
        sending[0].cancel()
        link.reset()
        results = await asyncio.gather(*sending, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError, NotConnectedError, NotConnectedError]


@asynchronous
async def test_a_consumer_that_takes_nothing_stops_the_reading() -> None:
    async with await listening(receive_limit=100_000) as backend:
        link = await connected(backend)
        frame = tagged(7, Flag.DATA, bytes(1000))
        total = 20_000

        async def pour() -> None:
            for _ in range(total // 100):
                link.write(frame * 100)
                await link.writer.drain()

        pouring = asyncio.ensure_future(pour())
        await until(lambda: backend._inbox.is_full)
        await asyncio.sleep(0.05)
        assert backend.waiting_bytes < 100_000 + (512 << 10)
        assert not pouring.done()
        got = 0
        async for batch in backend.batches():
            got += len(batch)
            if got == total:
                break
        await pouring


# --- Listening


@asynchronous
async def test_an_address_that_is_taken() -> None:
    async with await listening() as backend:
        with pytest.raises(CannotListenError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
            await Backend.listen(backend.address)


@asynchronous
async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "backend.sock"
    # One that is left over.
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with await Backend.listen(f"unix:{path}") as backend:
        with pytest.raises(CannotListenError, match="somebody listens there already"):
            await Backend.listen(f"unix:{path}")
        link = await dial_unix(str(path))
        link.write(HELLO)
        assert await next_of(backend, Data) == Data(7, b"hello")
        assert backend.firehose is not None
        assert backend.firehose.remote is None
    assert not path.exists()


@asynchronous
async def test_stop_sends_what_is_queued_and_ends_the_events() -> None:
    backend = await listening()
    link = await connected(backend)
    waiting = await dial(backend.address.port)
    await until(lambda: bool(backend._waiting))
    backend.try_send(7, b"last")
    await backend.stop()
    await backend.stop()
    assert await link.read() == tagged(7, Flag.DATA, b"last")[4:]
    assert await link.reader.read() == b""
    await waiting.ended()
    assert [type(event) async for event in backend] == [Disconnected]
    assert [batch async for batch in backend.batches()] == []
    with pytest.raises(NotConnectedError):
        await backend.send(7, b"")


@asynchronous
async def test_stop_does_not_wait_for_a_relay_that_does_not_read() -> None:
    async with await listening() as backend:
        (await connected(backend)).pause()
        await fill(backend)
