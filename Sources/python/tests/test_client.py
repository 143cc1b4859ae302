"""A client against a relay that is played, which does what a real one does rarely."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from support import Link, PlayedRelay, asynchronous, free_port, until

from voltlane import (
    Client,
    ClientConnected,
    ClientOptions,
    ClientOver,
    ClientReconnected,
    ClientReconnecting,
    ClosedDuringHandshakeError,
    ClosedError,
    ConnectionLostError,
    ConnectTimeoutError,
    FileStore,
    GaveUpError,
    HandshakeError,
    Heartbeat,
    InvalidChallengeError,
    InvalidKeyError,
    PacketTooLargeError,
    RefusedError,
    RelayPacketTooLargeError,
    Retry,
    Session,
    SessionInUseError,
    SessionOverError,
    SessionSharedError,
    UnreachableError,
    WrongRelayKeyError,
)
from voltlane import client as client_module
from voltlane.keys import SecretKey
from voltlane.wire import HandshakeKind

#: Attempts follow one another at once.
FAST = Retry(first_delay=0.001, last_delay=0.01)


def options(**named: Any) -> ClientOptions:
    return ClientOptions(**{"reconnection": FAST, **named})


async def serve(relay: PlayedRelay, link: Link) -> None:
    """An ordinary relay, whose backend echoes."""
    await relay.accept(link)
    while True:
        link.send(await link.read())


def echoing(*first: Any) -> PlayedRelay:
    relay = PlayedRelay(*first, lambda link: serve(relay, link))
    return relay


# --- Connecting


@asynchronous
async def test_packets_go_both_ways() -> None:
    async with echoing() as relay, await Client.connect(relay.endpoint) as client:
        assert client.client_id == 0xFEEDFACE00000001
        assert client.relay_key == relay.key.public
        assert str(client.remote) == relay.endpoint
        assert client.state == ClientConnected()
        for packet in (b"hello", b"", bytes(100_000), bytearray(b"x"), memoryview(b"yz")):
            await client.send(packet)
            assert await client.recv() == packet
        for number in range(1000):
            assert client.try_send(b"%d" % number)
        got: list[bytes] = []
        async for batch in client.batches():
            got += batch
            if len(got) == 1000:
                break
        assert got == [b"%d" % number for number in range(1000)]


@asynchronous
async def test_data_that_comes_with_the_id_is_data() -> None:
    async def eager(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        link.send_handshake(HandshakeKind.CLIENT_ID, 7)
        link.send(bytes(300))
        link.send(b"")

    async with PlayedRelay(eager) as relay, await Client.connect(relay.endpoint) as client:
        assert [await client.recv(), await client.recv()] == [bytes(300), b""]


@asynchronous
async def test_the_socket_notices_a_dead_network() -> None:
    async with echoing() as relay:
        async with await Client.connect(relay.endpoint, options(keepalive=21, user_timeout=1.5)) as client:
            assert client._connection is not None
            assert client._connection._transport is not None
            sock = client._connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 21
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        async with await Client.connect(relay.endpoint, options(keepalive=None, user_timeout=None)) as client:
            assert client._connection is not None
            assert client._connection._transport is not None
            sock = client._connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


@asynchronous
async def test_nobody_listens_there() -> None:
    with pytest.raises(UnreachableError, match=r"cannot reach 127\.0\.0\.1:\d+: Connection refused"):
        await Client.connect(f"127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError, match="cannot reach unix:/nowhere: No such file or directory"):
        await Client.connect("unix:/nowhere")


@asynchronous
async def test_a_relay_that_does_not_answer() -> None:
    async with PlayedRelay(lambda link: link.ended()) as relay:
        with pytest.raises(ConnectTimeoutError, match=r"within 0\.05 s \(connect_timeout\)"):
            await Client.connect(relay.endpoint, options(connect_timeout=0.05))


@asynchronous
async def test_a_relay_that_closes_at_once() -> None:
    async def close(link: Link) -> None:
        link.close()

    async def reset(link: Link) -> None:
        link.reset()

    async with PlayedRelay(close, reset) as relay:
        for _ in range(2):
            with pytest.raises(ClosedDuringHandshakeError, match="it is full"):
                await Client.connect(relay.endpoint)


@asynchronous
async def test_something_else_answers() -> None:
    async def http(link: Link) -> None:
        link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await link.ended()

    async with PlayedRelay(http) as relay:
        with pytest.raises(HandshakeError, match="no relay answers there: a packet of 1347703880 bytes"):
            await Client.connect(relay.endpoint)


@asynchronous
async def test_a_pinned_key() -> None:
    other = SecretKey.generate().public
    async with echoing() as relay:
        async with await Client.connect(relay.endpoint, options(relay_key=relay.key.public)):
            pass
        with pytest.raises(WrongRelayKeyError):
            await Client.connect(relay.endpoint, options(relay_key=other))
        with pytest.raises(InvalidKeyError, match="relay_key: "):
            await Client.connect(relay.endpoint, options(relay_key=b"key"))


@asynchronous
async def test_a_cancelled_connect_leaves_nothing() -> None:
    async with PlayedRelay(lambda link: link.ended()) as relay:
        attempt = asyncio.ensure_future(Client.connect(relay.endpoint))
        await until(lambda: bool(relay.links))
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await until(relay.links[0].reader.at_eof)


# --- Coming back


@asynchronous
async def test_it_comes_back_by_itself() -> None:
    cut = asyncio.Event()

    async def first(link: Link) -> None:
        await relay.accept(link)
        await cut.wait()
        link.reset()

    async def second(link: Link) -> None:
        await relay.accept(link)
        link.send(b"missed")
        assert [await link.read(), await link.read()] == [b"one", b"two"]
        link.send(b"done")

    async with PlayedRelay(first, second) as relay, await Client.connect(relay.endpoint, options()) as client:
        states = client.states()
        cut.set()
        assert await states.__anext__() == ClientConnected()
        lost = await states.__anext__()
        assert isinstance(lost, ClientReconnecting)
        assert isinstance(lost.cause, ConnectionLostError)
        # It waits until the client is back.
        await client.send(b"one")
        await client.send(b"two")
        assert [await client.recv(), await client.recv()] == [b"missed", b"done"]
        assert client.state == ClientReconnected()


@asynchronous
async def test_the_session_is_over_only_after_a_second_try() -> None:
    attempts: list[str] = []

    async def lose(link: Link) -> None:
        await relay.accept(link)
        link.close()

    async def over(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        attempts.append("over")
        link.close()

    async def later(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        attempts.append("later")
        link.write(bytes.fromhex("4a000000"))
        link.close()

    handlers = (lose, over, later, over, over)
    async with PlayedRelay(*handlers) as relay, await Client.connect(relay.endpoint, options()) as client:
        causes = [state.cause async for state in client.states() if isinstance(state, ClientReconnecting)]
        with pytest.raises(SessionOverError, match="the session is over"):
            await client.recv()
        assert attempts == ["over", "later", "over", "over"]
        assert [type(cause) for cause in causes] == [
            ConnectionLostError,
            SessionOverError,
            RefusedError,
            SessionOverError,
        ]
        assert isinstance(client.state, ClientOver)
        with pytest.raises(ClosedError):
            await client.send(b"")


@asynchronous
async def test_another_key_ends_it_at_once() -> None:
    async def other(link: Link) -> None:
        relay.key = SecretKey.generate()
        await relay.greet(link)
        assert await link.reader.read() == b""

    async def lose(link: Link) -> None:
        await relay.accept(link)
        link.reset()

    async with PlayedRelay(lose, other) as relay, await Client.connect(relay.endpoint, options()) as client:
        with pytest.raises(WrongRelayKeyError):
            await client.recv()


@asynchronous
async def test_it_gives_up() -> None:
    async with echoing() as relay:
        client = await Client.connect(relay.endpoint, options(reconnection=Retry(0.001, 0.01, give_up_after=0.1)))
    async with client:
        with pytest.raises(GaveUpError, match=r"gave up after 0\.1 s \(give_up_after\): cannot reach"):
            await client.recv()


@asynchronous
async def test_without_reconnection_the_packets_end() -> None:
    async def orderly(link: Link) -> None:
        await relay.accept(link)
        link.send(b"last")
        link.close()

    async def within(link: Link) -> None:
        await relay.accept(link)
        link.write(bytes.fromhex("05000000aa"))
        link.close()

    async with PlayedRelay(orderly, within) as relay:
        async with await Client.connect(relay.endpoint, options(reconnection=None)) as client:
            assert [packet async for packet in client] == [b"last"]
            assert client.state == ClientOver(None)
            with pytest.raises(ClosedError):
                await client.recv()
        async with await Client.connect(relay.endpoint, options(reconnection=None)) as client:
            with pytest.raises(ConnectionLostError, match="closed it within a packet"):
                await client.recv()


@asynchronous
async def test_a_packet_that_is_too_large_ends_it() -> None:
    async def too_large(link: Link) -> None:
        await relay.accept(link)
        link.send(b"fits")
        link.write(bytes.fromhex("05000000"))
        await link.ended()

    limited = options(max_packet_size=4)
    async with PlayedRelay(too_large) as relay, await Client.connect(relay.endpoint, limited) as client:
        assert await client.recv() == b"fits"
        with pytest.raises(RelayPacketTooLargeError, match=r"5 bytes was announced; at most 4 are allowed"):
            await client.recv()
        assert len(relay.links) == 1


@asynchronous
async def test_reconnect_now() -> None:
    async with echoing() as relay, await Client.connect(relay.endpoint, options()) as client:
        states = client.states()
        client.reconnect_now()
        assert [type(await states.__anext__()) for _ in range(3)] == [
            ClientConnected,
            ClientReconnecting,
            ClientReconnected,
        ]
        await client.send(b"here")
        assert await client.recv() == b"here"


@asynchronous
async def test_reconnect_now_cuts_a_delay_and_an_attempt_short() -> None:
    hung = asyncio.Event()

    async def lose(link: Link) -> None:
        await relay.accept(link)
        link.reset()

    async def hang(link: Link) -> None:
        hung.set()
        await link.ended()

    slow = Retry(first_delay=3600, last_delay=3600, give_up_after=None)
    relay = echoing(lose, hang)
    async with relay, await Client.connect(relay.endpoint, options(reconnection=slow)) as client:
        await until(lambda: isinstance(client.state, ClientReconnecting))
        client.reconnect_now()
        await hung.wait()
        # It hangs; the network has changed again.
        client.reconnect_now()
        await until(lambda: client.state == ClientReconnected())
        assert len(relay.links) == 3
        await client.send(b"here")
        assert await client.recv() == b"here"


@asynchronous
async def test_two_that_share_a_session_get_out_of_each_others_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "SHARED_FIRST_DELAY", 3600.0)
    monkeypatch.setattr(client_module, "SHARED_LAST_DELAY", 3600.0)

    async def taken(link: Link) -> None:
        await relay.accept(link)
        link.close()

    relay = PlayedRelay(taken)
    with caplog.at_level(logging.WARNING, "voltlane.client"):
        async with relay, await Client.connect(relay.endpoint, options()) as client:
            await until(
                lambda: (
                    isinstance(client.state, ClientReconnecting) and isinstance(client.state.cause, SessionSharedError)
                )
            )
            # The first connection, and three that were taken.
            assert len(relay.links) == 4
    assert "was taken over 3 times in a row" in caplog.text


# --- Queues


@asynchronous
async def test_send_waits_for_a_relay_that_does_not_read() -> None:
    read = asyncio.Event()

    async def slow(link: Link) -> None:
        await relay.accept(link)
        link.pause()
        await read.wait()
        link.resume()
        while True:
            link.send(await link.read())

    limited = options(send_limit=100_000)
    async with PlayedRelay(slow) as relay, await Client.connect(relay.endpoint, limited) as client:
        packet = bytes(60_000)
        count = 0
        # Until the kernel's buffers are full, too.
        while client.try_send(packet):
            count += 1
            await asyncio.sleep(0)
        # Of 60,000 bytes each: two that wait, and one that is being written.
        assert 100_000 <= client.unsent_bytes < 240_000
        sending = asyncio.ensure_future(client.send(b"last"))
        await asyncio.sleep(0.01)
        assert not sending.done()
        read.set()
        for _ in range(count):
            assert await client.recv() == packet
        await sending
        assert await client.recv() == b"last"


@asynchronous
async def test_a_client_that_takes_nothing_is_not_read_without_end() -> None:
    packet = bytes(10_000)
    sent = 0

    async def pour(link: Link) -> None:
        nonlocal sent
        await relay.accept(link)
        for _ in range(2000):
            link.send(packet)
            await link.writer.drain()
            sent += 1

    limited = options(receive_limit=100_000)
    async with PlayedRelay(pour) as relay, await Client.connect(relay.endpoint, limited) as client:
        await until(lambda: client._inbox.is_full)
        await asyncio.sleep(0.05)
        waiting = client.waiting_packets
        # What was asked for, and one read.
        assert waiting * 10_000 < 100_000 + (512 << 10)
        assert sent < 2000
        for _ in range(2000):
            assert await client.recv() == packet


@asynchronous
async def test_packets_that_cannot_be_sent() -> None:
    async with echoing() as relay, await Client.connect(relay.endpoint, options(max_packet_size=4)) as client:
        with pytest.raises(PacketTooLargeError, match=r"packet: 5 bytes .* at most 4"):
            await client.send(b"hello")
        with pytest.raises(TypeError, match="packet: str given"):
            client.try_send("text")  # type: ignore[arg-type]
        await client.send(b"fits")
        assert await client.recv() == b"fits"


@asynchronous
async def test_a_large_packet_within_which_the_connection_broke_is_sent_again() -> None:
    large = os.urandom(4 << 20)

    async def break_within(link: Link) -> None:
        await relay.accept(link)
        assert await link.read() == b"before"
        await link.reader.readexactly(100_000)
        link.reset()

    async def second(link: Link) -> None:
        await relay.accept(link)
        assert await link.read() == large
        assert await link.read() == b"after"
        link.send(b"ok")

    relay = PlayedRelay(break_within, second)
    async with relay, await Client.connect(relay.endpoint, options(send_limit=8 << 20)) as client:
        for packet in (b"before", large, b"after"):
            await client.send(packet)
        assert await client.recv() == b"ok"


@asynchronous
async def test_finish_sends_everything_and_then_ends_the_sending_side() -> None:
    async def until_the_end(link: Link) -> None:
        await relay.accept(link)
        packets = [await link.read() for _ in range(100)]
        assert await link.reader.read() == b""
        link.send(b"%d" % len(packets))
        link.close()

    async with PlayedRelay(until_the_end) as relay, await Client.connect(relay.endpoint, options()) as client:
        for _ in range(100):
            await client.send(bytes(1000))
        await client.finish()
        with pytest.raises(ClosedError):
            await client.send(b"more")
        assert [packet async for packet in client] == [b"100"]
        await client.finish()


@asynchronous
async def test_close_ends_everything() -> None:
    async with echoing() as relay:
        client = await Client.connect(relay.endpoint)
        waiting = asyncio.ensure_future(client.recv())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClosedError):
            await waiting
        await client.close()
        assert [state async for state in client.states()] == [ClientOver(None)]
        with pytest.raises(ClosedError):
            await client.finish()
        await until(relay.links[0].reader.at_eof)


# --- Heartbeats


@asynchronous
async def test_a_heartbeat_is_sent_where_nothing_else_is() -> None:
    got: list[bytes] = []

    async def listen(link: Link) -> None:
        await relay.accept(link)
        while True:
            got.append(await link.read())

    beating = options(heartbeat=Heartbeat(b"beat", every=0.02))
    async with PlayedRelay(listen) as relay, await Client.connect(relay.endpoint, beating) as client:
        await client.send(b"own")
        await until(lambda: len(got) >= 4)
        assert got[:4] == [b"own", b"beat", b"beat", b"beat"]


@asynchronous
async def test_a_relay_that_no_longer_answers_is_lost() -> None:
    async def mute(link: Link) -> None:
        await relay.accept(link)
        await link.ended()

    relay = echoing(mute)
    beating = options(heartbeat=Heartbeat(b"beat", every=0.02, answer_within=0.05))
    async with relay, await Client.connect(relay.endpoint, beating) as client:
        await until(lambda: len(relay.links) == 2)
        async for state in client.states():
            if isinstance(state, ClientReconnecting):
                assert "no answer to a heartbeat within 0.05 s" in str(state.cause)
            if state == ClientReconnected():
                break
        assert await client.recv() == b"beat"


# --- Saved sessions


@asynchronous
async def test_resume() -> None:
    async with echoing() as relay:
        async with await Client.connect(relay.endpoint) as client:
            session = client.session
            assert not client.is_resumed
        async with await Client.resume(session, relay.endpoint) as client:
            assert client.is_resumed
            assert client.client_id == session.client_id
            assert client.session == session
            await client.send(b"again")
            assert await client.recv() == b"again"


@asynchronous
async def test_a_session_with_the_key_of_another() -> None:
    async with echoing() as relay:
        async with await Client.connect(relay.endpoint) as client:
            stolen = Session(client.client_id, SecretKey.generate().to_bytes(), client.relay_key)
        with pytest.raises(InvalidChallengeError):
            await Client.resume(stolen, relay.endpoint)
        with pytest.raises(InvalidKeyError, match="secret_key of the saved session: not a number"):
            await Client.resume(Session(1, bytes(32), client.relay_key), relay.endpoint)
        with pytest.raises(InvalidKeyError, match="relay_key of the saved session: "):
            await Client.resume(Session(1, stolen.secret_key, bytes(33)), relay.endpoint)
        other = options(relay_key=SecretKey.generate().public)
        with pytest.raises(WrongRelayKeyError):
            await Client.resume(stolen, relay.endpoint, other)


@asynchronous
async def test_open_keeps_a_session(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "session")
    async with echoing() as relay:
        async with await Client.open(relay.endpoint, store, options()) as client:
            assert not client.is_resumed
            first = client.client_id
            with pytest.raises(SessionInUseError):
                await Client.open(relay.endpoint, FileStore(store.path), options())
        async with await Client.open(relay.endpoint, FileStore(store.path), options()) as client:
            assert client.is_resumed
            assert client.client_id == first


@asynchronous
async def test_open_begins_anew_where_the_session_is_over(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def over(link: Link) -> None:
        await relay.greet(link)
        heard.append(await link.read())
        link.close()

    store = FileStore(tmp_path / "session")
    relay = echoing()
    async with relay:
        async with await Client.open(relay.endpoint, store, options()) as client:
            first = client.client_id
        relay.handlers = [over, over, *relay.handlers]
        async with await Client.open(relay.endpoint, store, options(), FAST) as client:
            assert len(heard) == 2
            assert not client.is_resumed
            assert client.client_id != first
            saved = store.load()
            assert saved == client.session


@asynchronous
async def test_open_believes_no_single_end(tmp_path: Path) -> None:
    async def over(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        link.close()

    async def refuse(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        link.reset()

    async def full(link: Link) -> None:
        link.close()

    store = FileStore(tmp_path / "session")
    relay = echoing()
    async with relay:
        async with await Client.open(relay.endpoint, store, options()) as client:
            first = client.client_id
        relay.handlers = [over, refuse, over, full, *relay.handlers]
        async with await Client.open(relay.endpoint, store, options(), FAST) as client:
            assert client.client_id == first


@asynchronous
async def test_open_waits_for_a_relay(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "session")
    with pytest.raises(UnreachableError):
        await Client.open(f"127.0.0.1:{free_port()}", store, retry=None)
    with pytest.raises(GaveUpError):
        await Client.open(f"127.0.0.1:{free_port()}", store, retry=Retry(0.001, 0.01, 0.05))
    relay = echoing()
    relay.port = free_port()
    opening = asyncio.ensure_future(Client.open(relay.endpoint, store, options(), FAST))
    await asyncio.sleep(0.05)
    async with relay, await opening:
        pass


@asynchronous
async def test_open_keeps_the_session_where_the_key_has_changed(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "session")
    async with echoing() as relay:
        async with await Client.open(relay.endpoint, store, options()):
            pass
        saved = store.load()
        relay.key = SecretKey.generate()
        with pytest.raises(WrongRelayKeyError):
            await Client.open(relay.endpoint, store, options())
        assert store.load() == saved


@asynchronous
async def test_a_store_forgets_a_session_that_ends(tmp_path: Path) -> None:
    async def over(link: Link) -> None:
        await relay.greet(link)
        await link.read()
        link.close()

    async def lose(link: Link) -> None:
        await relay.accept(link)
        link.close()

    store = FileStore(tmp_path / "session")
    relay = PlayedRelay(lose, over, over)
    async with relay, await Client.open(relay.endpoint, store, options()) as client:
        with pytest.raises(SessionOverError):
            await client.recv()
        assert store.load() is None
        # And the file can be used by the next one, though this client was not closed.
        FileStore(store.path).acquire()


# --- Options


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"connect_timeout": 0}, "connect_timeout: 0; more than 0 seconds"),
        ({"connect_timeout": float("inf")}, "connect_timeout: inf"),
        ({"connect_timeout": "1"}, "connect_timeout: str given"),
        ({"max_packet_size": 0}, "max_packet_size: 0; 1 to"),
        ({"receive_limit": 0}, "receive_limit: 0; at least 1 byte"),
        ({"send_limit": -1}, "send_limit: -1"),
        ({"keepalive": 0}, "keepalive: 0"),
        ({"user_timeout": -1}, "user_timeout: -1"),
        ({"relay_key": "02"}, "relay_key: str given"),
        ({"max_packet_size": 3, "heartbeat": Heartbeat(b"beat")}, "heartbeat packet: 4 bytes"),
    ],
)
def test_options_that_are_refused(named: dict[str, Any], problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        ClientOptions(**named)


def test_retries_and_heartbeats_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"last_delay: 0\.05; at least first_delay, 0\.1"):
        Retry(last_delay=0.05)
    with pytest.raises(ValueError, match="give_up_after: 0"):
        Retry(give_up_after=0)
    with pytest.raises(TypeError, match="heartbeat packet: str given"):
        Heartbeat("beat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="heartbeat every: 0"):
        Heartbeat(b"", every=0)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "::1:1", "host:-1", "unix:", "host:\u0661"])
def test_endpoints_that_are_none(text: str) -> None:
    async def connect() -> None:
        await Client.connect(text)

    with pytest.raises(ValueError, match="endpoint: "):
        asyncio.run(connect())
