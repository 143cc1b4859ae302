"""Sends a text to a relay behind a WebSocket, and prints what comes back: client.py ws://127.0.0.1:8080 hello"""

import asyncio
import sys

from voltlane.handshake import Handshake
from voltlane.keys import SecretKey
from voltlane.wire import PacketSplitter, framed
from websockets.asyncio.client import connect


async def packets(socket, splitter):
    """What arrives, cut into packets: the WebSocket's own messages may begin and end anywhere."""
    async for message in socket:
        while packet := splitter.feed(message, 1):
            yield packet[0]
            message = b""


async def main(url, text):
    async with connect(url, subprotocols=["binary"]) as socket:
        incoming = packets(socket, PacketSplitter())
        handshake = Handshake(SecretKey.generate())
        await socket.send(handshake.opening)
        while not handshake.is_done:
            await socket.send(handshake.receive(await anext(incoming)))
        await socket.send(framed(text.encode()))
        print((await anext(incoming)).decode())


asyncio.run(main(*sys.argv[1:]))
