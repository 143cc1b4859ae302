"""The Python library in the loops that its users write: ``library.py shout|shout-batches|send PORT``."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Sources/python/src"))

from voltlane import Backend, Client, Data  # noqa: E402


async def shout(address, by_batches):
    async with await Backend.listen(address) as backend:
        if by_batches:
            async for batch in backend.batches():
                for event in batch:
                    if isinstance(event, Data):
                        await backend.send(event.client_id, event.data)
        else:
            async for event in backend:
                if isinstance(event, Data):
                    await backend.send(event.client_id, event.data)


async def send(address):
    packet = b"\x5a" * 64
    async with await Client.connect(address) as client:
        while True:
            await client.send(packet)


subject, port = sys.argv[1:]
address = f"127.0.0.1:{port}"
asyncio.run(send(address) if subject == "send" else shout(address, subject == "shout-batches"))
