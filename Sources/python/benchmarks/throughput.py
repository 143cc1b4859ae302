"""Packets a second of this package on one core.

    python benchmarks/throughput.py [--size 64] [--seconds 3] [--relay .build/release/voltlane]

A feeder in a process of its own plays the other side: a relay for the backend (it sends tagged packets that were made
beforehand and reads what comes back), and a relay's client link for the client. So the figures are those of the Python
process alone: packets a second of wall-clock time, and of its CPU time, which tells more on a machine that is busy.
With --relay the backend echoes through a relay, whose clients are of this package, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

from voltlane import Backend, Client, Data, FirehoseParser, UnreachableError
from voltlane.keys import SecretKey
from voltlane.wire import Flag, HandshakeKind, framed, handshake_packet, tagged

_CLIENTS = 100


def _pour(link: socket.socket, block: bytes, seconds: float) -> None:
    """Sends the block over and over, and reads whatever comes, for a time."""
    link.setblocking(False)
    end = time.monotonic() + seconds
    at = 0
    view = memoryview(block)
    while time.monotonic() < end:
        idle = True
        with contextlib.suppress(BlockingIOError):
            at = (at + link.send(view[at : at + (256 << 10)])) % len(block)
            idle = False
        with contextlib.suppress(BlockingIOError):
            if not link.recv(1 << 20):
                return
            idle = False
        if idle:
            time.sleep(0.0002)


def _relay_for_backend(port: int, size: int, seconds: float) -> None:
    frames = [tagged((0x9E3779B97F4A7C15 * (n + 1)) % 2**64, Flag.DATA, os.urandom(size)) for n in range(_CLIENTS)]
    with socket.create_connection(("127.0.0.1", port)) as link:
        _pour(link, b"".join(frames) * max(1, (1 << 20) // (len(frames[0]) * _CLIENTS)), seconds)


def _relay_for_client(pipe: Connection, size: int, seconds: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        link, _ = server.accept()
        with link:
            link.sendall(handshake_packet(HandshakeKind.PUBLIC_KEY, data=SecretKey.generate().public))
            link.sendall(handshake_packet(HandshakeKind.CLIENT_ID, 7))
            _pour(link, framed(os.urandom(size)) * max(1, (1 << 20) // (size + 4)), seconds)


class Meter:
    """Counts packets from the first to the last."""

    def __init__(self) -> None:
        self.count = 0
        self._begin = (0.0, 0.0)
        self.end = (0.0, 0.0)

    def begin(self) -> None:
        self._begin = (time.perf_counter(), time.process_time())

    def add(self, count: int) -> None:
        if not self.count:
            self.begin()
        self.count += count
        self.end = (time.perf_counter(), time.process_time())

    def report(self, name: str) -> None:
        wall, cpu = self.end[0] - self._begin[0], self.end[1] - self._begin[1]
        print(f"{name:44} {self.count / wall:10,.0f} /s {self.count / cpu:12,.0f} /CPU s")


def parser_alone(size: int, seconds: float) -> None:
    block = b"".join(tagged(n, Flag.DATA, os.urandom(size)) for n in range((256 << 10) // (size + 13) + 1))
    parser = FirehoseParser()
    meter = Meter()
    meter.begin()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        meter.add(len(parser.feed(block)))
    meter.report("parser alone")


async def _run_backend(name: str, size: int, seconds: float, use: Callable[[Backend, Meter], Awaitable[None]]) -> None:
    meter = Meter()
    async with await Backend.listen("127.0.0.1:0") as backend:
        feeder = multiprocessing.Process(target=_relay_for_backend, args=(backend.address.port, size, seconds))
        feeder.start()
        using = asyncio.ensure_future(use(backend, meter))
        await asyncio.get_running_loop().run_in_executor(None, feeder.join)
    await using
    meter.report(name)


async def _read_batches(backend: Backend, meter: Meter) -> None:
    async for batch in backend.batches():
        meter.add(sum(isinstance(event, Data) for event in batch))


async def _read_events(backend: Backend, meter: Meter) -> None:
    async for event in backend:
        if isinstance(event, Data):
            meter.add(1)


async def _echo_batches(backend: Backend, meter: Meter) -> None:
    async for batch in backend.batches():
        count = 0
        for event in batch:
            if isinstance(event, Data):
                count += 1
                if not backend.try_send(event.client_id, event.data):
                    with contextlib.suppress(Exception):
                        await backend.send(event.client_id, event.data)
        meter.add(count)


async def _echo_events(backend: Backend, meter: Meter) -> None:
    async for event in backend:
        if isinstance(event, Data):
            with contextlib.suppress(Exception):
                await backend.send(event.client_id, event.data)
            meter.add(1)


async def _multicast(backend: Backend, meter: Meter) -> None:
    ids = [(0x9E3779B97F4A7C15 * (n + 1)) % 2**64 for n in range(1000)]
    payload = bytes(64)
    async for event in backend:
        if isinstance(event, Data):
            break
    with contextlib.suppress(Exception):
        while True:
            await backend.multicast(ids, payload)
            meter.add(len(ids))
            # What comes is not read here, and must not keep the loop from noticing the end.
            await asyncio.sleep(0)


async def _run_client(name: str, size: int, seconds: float, use: Callable[[Client, Meter], Awaitable[None]]) -> None:
    here, there = multiprocessing.Pipe()
    feeder = multiprocessing.Process(target=_relay_for_client, args=(there, size, seconds))
    feeder.start()
    port = here.recv()
    meter = Meter()
    client = await Client.connect(f"127.0.0.1:{port}")
    using = asyncio.ensure_future(use(client, meter))
    await asyncio.get_running_loop().run_in_executor(None, feeder.join)
    await client.close()
    with contextlib.suppress(Exception):
        await using
    meter.report(name)


async def _take_batches(client: Client, meter: Meter) -> None:
    async for batch in client.batches():
        meter.add(len(batch))


async def _take_packets(client: Client, meter: Meter) -> None:
    async for _ in client:
        meter.add(1)


async def _echo_packets(client: Client, meter: Meter) -> None:
    async for packet in client:
        await client.send(packet)
        meter.add(1)


async def _through_relay(relay: str, size: int, seconds: float) -> None:
    """A backend in this process echoes what clients in another process send through a relay."""
    meter = Meter()
    async with await Backend.listen("127.0.0.1:0") as backend:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            relay, "--listen", f"127.0.0.1:{port}", "--backend", str(backend.address), "--log-level", "error"
        )
        try:
            clients = multiprocessing.Process(target=_clients, args=(port, size, seconds))
            clients.start()
            echoing = asyncio.ensure_future(_echo_batches(backend, meter))
            await asyncio.get_running_loop().run_in_executor(None, clients.join)
        finally:
            process.kill()
            await process.wait()
    await echoing
    meter.report("echo through the relay: backend")


def _clients(port: int, size: int, seconds: float) -> None:
    async def one(meter: Meter, end: float) -> None:
        packet = os.urandom(size)
        async with await Client.connect(f"127.0.0.1:{port}") as client:
            for _ in range(32):
                client.try_send(packet)
            async for batch in client.batches():
                meter.add(len(batch))
                if time.perf_counter() >= end:
                    return
                for answer in batch:
                    client.try_send(answer)

    async def every() -> None:
        # The relay may still be starting.
        while True:
            with contextlib.suppress(UnreachableError):
                async with await Client.connect(f"127.0.0.1:{port}"):
                    break
            await asyncio.sleep(0.05)
        meter = Meter()
        end = time.perf_counter() + seconds
        await asyncio.gather(*(one(meter, end) for _ in range(20)))
        meter.report("echo through the relay: 20 clients")

    asyncio.run(every())


async def _main(size: int, seconds: float, relay: str | None) -> None:
    print(f"Python {sys.version.split()[0]}, packets of {size} bytes")
    parser_alone(size, min(seconds, 1))
    await _run_backend("backend: reads, batches", size, seconds, _read_batches)
    await _run_backend("backend: reads, one by one", size, seconds, _read_events)
    await _run_backend("backend: echoes, batches and try_send", size, seconds, _echo_batches)
    await _run_backend("backend: echoes, one by one and await send", size, seconds, _echo_events)
    await _run_backend("backend: multicast to 1,000, deliveries", size, seconds, _multicast)
    await _run_client("client: reads, batches", size, seconds, _take_batches)
    await _run_client("client: reads, one by one", size, seconds, _take_packets)
    await _run_client("client: echoes, one by one and await send", size, seconds, _echo_packets)
    if relay is not None:
        await _through_relay(relay, size, seconds)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Packets a second of this package on one core.")
    arguments.add_argument("--size", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--relay", help="the relay's program, to measure through it as well")
    given = arguments.parse_args()
    # So that a feeder takes nothing along.
    multiprocessing.set_start_method("spawn")
    asyncio.run(_main(given.size, given.seconds, given.relay))
