"""A client and a backend with the relay that the repository built between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
from support import BuiltRelay, asynchronous, until

from voltlane import (
    Address,
    Announced,
    Away,
    Backend,
    Client,
    ClientOptions,
    ClientReconnected,
    ClientReconnecting,
    ClientTable,
    Connected,
    Data,
    Disconnected,
    Failure,
    FileStore,
    PacketTooLargeError,
    Reconnection,
    Retry,
    SessionOverError,
    SessionSharedError,
    WrongRelayKeyError,
)
from voltlane import client as client_module

E = TypeVar("E")

FAST = ClientOptions(reconnection=Retry(0.01, 0.1))


async def next_of(backend: Backend, kind: type[E]) -> E:
    async for event in backend:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events have ended")


@contextlib.asynccontextmanager
async def pair(*arguments: str) -> AsyncIterator[tuple[Backend, BuiltRelay]]:
    async with await Backend.listen("127.0.0.1:0") as backend, BuiltRelay(backend.address, *arguments) as relay:
        yield backend, relay


@asynchronous
async def test_packets_of_all_sizes_go_both_ways() -> None:
    async with pair() as (backend, relay), await Client.connect(relay.endpoint, FAST) as client:
        for size in (0, 1, 1000, 65_536, 8_388_599):
            packet = os.urandom(size)
            await client.send(packet)
            assert await next_of(backend, Data) == Data(client.client_id, packet)
            await backend.send(client.client_id, packet)
            assert await client.recv() == packet
        for too_large in (client.send(bytes(8_388_600)), backend.send(client.client_id, bytes(8_388_600))):
            with pytest.raises(PacketTooLargeError):
                await too_large


@asynchronous
async def test_order_is_kept_with_many_clients() -> None:
    async with pair() as (backend, relay):

        async def echo() -> None:
            async for batch in backend.batches():
                for event in batch:
                    if isinstance(event, Data):
                        await backend.send(event.client_id, event.data)

        async def talk(client: Client) -> None:
            for number in range(300):
                await client.send(b"%d" % number)
            for number in range(300):
                assert await client.recv() == b"%d" % number
            await client.close()

        echoing = asyncio.ensure_future(echo())
        clients = [await Client.connect(relay.endpoint, FAST) for _ in range(20)]
        assert len({client.client_id for client in clients}) == 20
        await asyncio.gather(*map(talk, clients))
        echoing.cancel()


@asynchronous
async def test_missed_packets_come_in_order() -> None:
    async with pair() as (backend, relay):
        client = await Client.connect(relay.endpoint)
        others = [await Client.connect(relay.endpoint) for _ in range(8)]
        await client.send(b"hello")
        await next_of(backend, Data)
        session = client.session
        await client.close()
        # Whichever shard it has: what was sent later is read later, so that the relay knows by now that it has gone.
        for other in others:
            await other.send(b"hello")
            await next_of(backend, Data)
            await other.close()
        for number in range(100):
            await backend.send(session.client_id, b"%d" % number)
        async with await Client.resume(session, relay.endpoint) as client:
            assert await next_of(backend, Reconnection) == Reconnection(session.client_id)
            await backend.send(session.client_id, b"live")
            assert [await client.recv() for _ in range(101)] == [b"%d" % number for number in range(100)] + [b"live"]


@asynchronous
async def test_a_kick_ends_the_session() -> None:
    async with pair() as (backend, relay), await Client.connect(relay.endpoint, FAST) as client:
        await client.send(b"hello")
        await next_of(backend, Data)
        await backend.send(client.client_id, b"goodbye")
        await backend.kick(client.client_id)
        assert await client.recv() == b"goodbye"
        with pytest.raises(SessionOverError):
            await client.recv()
        assert await next_of(backend, Failure) == Failure(client.client_id, "kicked")
        # However often it is sent to, its end is told once.
        for _ in range(10):
            await backend.send(client.client_id, b"too late")
        await until(lambda: backend.repeated_failure_count == 10)
        # Not before: another shard may answer for this id, and sooner.
        await backend.send(1, b"nobody")
        assert await next_of(backend, Failure) == Failure(1, "unknown client")


@asynchronous
async def test_a_half_close() -> None:
    async with pair() as (backend, relay), await Client.connect(relay.endpoint) as client:
        await client.send(b"question")
        await client.finish()
        await next_of(backend, Data)
        await backend.send(client.client_id, b"answer")
        assert await client.recv() == b"answer"
        await backend.kick(client.client_id)
        assert [packet async for packet in client] == []


@asynchronous
async def test_the_relay_is_killed_and_starts_again(tmp_path: Path) -> None:
    identity = ("--identity", str(tmp_path / "identity"))
    store = FileStore(tmp_path / "session")
    async with await Backend.listen("127.0.0.1:0") as backend:
        async with BuiltRelay(backend.address, *identity) as relay:
            async with await Client.open(relay.endpoint, store, FAST) as client:
                await client.send(b"hello")
                await next_of(backend, Data)
                first = client.client_id
                await relay.kill()
                await next_of(backend, Disconnected)
                await until(lambda: isinstance(client.state, ClientReconnecting))
                await relay.start()
                with pytest.raises(SessionOverError):
                    await client.recv()
            async with await Client.open(relay.endpoint, store, FAST) as client:
                assert not client.is_resumed
                assert client.client_id != first
                await client.send(b"hello")
                assert await next_of(backend, Data) == Data(client.client_id, b"hello")
                await relay.kill()
        # Another relay at the same place.
        async with BuiltRelay(backend.address, port=relay.port):
            with pytest.raises(WrongRelayKeyError):
                await Client.open(relay.endpoint, store, FAST)


@asynchronous
async def test_the_backend_starts_again() -> None:
    async with await Backend.listen("127.0.0.1:0") as backend:
        async with BuiltRelay(backend.address) as relay, await Client.connect(relay.endpoint, FAST) as client:
            await client.send(b"hello")
            await next_of(backend, Data)
            await backend.stop()
            # What is sent before may be in the old connection, and lost with it.
            await relay.says("backend lost")
            await client.send(b"meanwhile")
            async with await Backend.listen(backend.address) as again:
                table = ClientTable()
                kinds = []
                async for event in again:
                    table.apply(event)
                    kinds.append(type(event))
                    if isinstance(event, Data):
                        assert event == Data(client.client_id, b"meanwhile")
                        break
                assert kinds == [Connected, Reconnection, Announced, Data]
                assert table.ids == [client.client_id]
                await again.send(client.client_id, b"welcome back")
                assert await client.recv() == b"welcome back"


@asynchronous
async def test_reconnect_now_keeps_the_session() -> None:
    async with pair() as (backend, relay), await Client.connect(relay.endpoint, FAST) as client:
        client.reconnect_now()
        await until(lambda: client.state == ClientReconnected())
        assert await next_of(backend, Reconnection) == Reconnection(client.client_id)
        await client.send(b"here")
        assert await next_of(backend, Data) == Data(client.client_id, b"here")


@asynchronous
async def test_two_that_share_a_session_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SHARED_FIRST_DELAY", 3600.0)
    monkeypatch.setattr(client_module, "SHARED_LAST_DELAY", 3600.0)
    async with pair() as (_, relay), await Client.connect(relay.endpoint, FAST) as one:
        async with await Client.resume(one.session, relay.endpoint, FAST) as other:

            def backs_off(client: Client) -> bool:
                state = client.state
                return isinstance(state, ClientReconnecting) and isinstance(state.cause, SessionSharedError)

            # One of them gets out of the way; the other one keeps the session.
            await until(lambda: backs_off(one) or backs_off(other))


@asynchronous
async def test_the_largest_multicast_list() -> None:
    if not BuiltRelay.has("--addresses"):
        pytest.skip("the relay that was built has no multicast yet")
    async with pair() as (backend, relay), await Client.connect(relay.endpoint, FAST) as client:
        await client.send(b"hello")
        await next_of(backend, Data)
        # The relay answers for all the others.
        await backend.multicast([client.client_id, *range(1, 65_536 + 10)], b"all")
        assert await client.recv() == b"all"
        await backend.send(client.client_id, b"after")
        assert await client.recv() == b"after"


@asynchronous
async def test_multicast_and_volatile() -> None:
    if not BuiltRelay.has("--away"):
        pytest.skip("the relay that was built has no extensions yet")
    async with pair() as (backend, relay):
        clients = [await Client.connect(relay.endpoint, FAST) for _ in range(3)]
        for client in clients:
            await client.send(b"hello")
            await next_of(backend, Data)
        ids = [client.client_id for client in clients]
        await backend.multicast(ids, b"all")
        await backend.multicast(ids[:2], b"some", volatile=True)
        await backend.send(ids[2], b"one", volatile=True)
        assert [await client.recv() for client in clients] == [b"all"] * 3
        assert [await client.recv() for client in clients] == [b"some", b"some", b"one"]
        for client in clients:
            await client.close()


@asynchronous
async def test_away_and_addresses() -> None:
    if not BuiltRelay.has("--away"):
        pytest.skip("the relay that was built has no extensions yet")
    async with pair("--away", "on", "--addresses", "on") as (backend, relay):
        client = await Client.connect(relay.endpoint, FAST)
        address = await next_of(backend, Address)
        assert (address.client_id, str(address.host)) == (client.client_id, "127.0.0.1")
        session = client.session
        await client.send(b"hello")
        assert await next_of(backend, Data) == Data(session.client_id, b"hello")
        await client.close()
        assert await next_of(backend, Away) == Away(session.client_id)
        # Worth nothing later: it is not kept.
        await backend.send(session.client_id, b"position", volatile=True)
        await backend.send(session.client_id, b"kept")
        async with await Client.resume(session, relay.endpoint) as client:
            assert await next_of(backend, Reconnection) == Reconnection(session.client_id)
            address = await next_of(backend, Address)
            assert address.client_id == session.client_id
            assert await client.recv() == b"kept"
