"""Arbitrary bytes from the network: whatever comes, the process goes on and the next one is served.

Each round has a seed, which a failure shows.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from support import Link, PlayedRelay, asynchronous, dial, until

from voltlane import Backend, Client, ClientError, ClientOptions, Data, Disconnected, Event
from voltlane.wire import Flag, HandshakeKind, framed, handshake_packet, tagged


def noise(chance: random.Random, frames: list[bytes]) -> bytes:
    """Real packets, damaged and cut, with bytes of all kinds between them."""
    parts = []
    for _ in range(chance.randrange(1, 12)):
        part = bytearray(chance.choice(frames))
        what = chance.randrange(6)
        if what == 0:
            part = bytearray(chance.randbytes(chance.randrange(40)))
        elif what == 1:
            part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        elif what == 2:
            del part[chance.randrange(len(part)) :]
        elif what == 3:
            # The upper bytes of a size, mostly: larger than is allowed, or never complete.
            part[chance.randrange(min(4, len(part)))] = chance.randrange(256)
        parts.append(bytes(part))
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(40))
@asynchronous
async def test_a_backend(seed: int) -> None:
    chance = random.Random(seed)
    frames = [
        tagged(7, Flag.DATA, b"data"),
        tagged(7, Flag.FAILURE, b"kicked"),
        tagged(7, Flag.RECONNECTION),
        tagged(7, Flag.AWAY),
        tagged(7, Flag.ADDRESS, bytes.fromhex("04c000020750c3")),
        tagged(7, Flag.KICK),
        bytes(4),
    ]
    async with await Backend.listen("127.0.0.1:0") as backend:
        for _ in range(3):
            link = await dial(backend.address.port)
            for _ in range(chance.randrange(1, 4)):
                link.write(noise(chance, frames))
                await asyncio.sleep(0)
            link.close()
            await link.ended()
            link.writer.transport.abort()
        # All of it has been read to its end.
        link = await dial(backend.address.port)
        link.write(tagged(1 << 63, Flag.DATA, b"the relay"))
        events: list[Event] = []
        async for event in backend:
            events.append(event)
            if event == Data(1 << 63, b"the relay"):
                break
        ended = [event.firehose.number for event in events if isinstance(event, Disconnected)]
        assert ended == list(range(1, len(ended) + 1))
        await backend.send(1, b"x")
        assert await link.read() == tagged(1, Flag.DATA, b"x")[4:]


@pytest.mark.parametrize("seed", range(40))
@asynchronous
async def test_a_client(seed: int) -> None:
    chance = random.Random(seed)
    frames = [
        handshake_packet(HandshakeKind.PUBLIC_KEY, data=b"\x02" + bytes(31) + b"\x01"),
        handshake_packet(HandshakeKind.CLIENT_ID, 7),
        handshake_packet(HandshakeKind.CHALLENGE, data=bytes(72)),
        handshake_packet(HandshakeKind.PING),
        framed(b"data"),
    ]

    async def babble(link: Link) -> None:
        if chance.random() < 0.5:
            await relay.accept(link)
        link.write(noise(chance, frames))
        link.close()
        await link.ended()

    options = ClientOptions(reconnection=None)
    async with PlayedRelay(babble) as relay:
        for _ in range(3):
            try:
                client = await Client.connect(relay.endpoint, options)
            except ClientError:
                continue
            async with client:
                try:
                    async for packet in client:
                        assert isinstance(packet, bytes)
                except ClientError:
                    pass
                # Its socket is gone.
                await until(lambda: client._connection is None)  # noqa: B023
