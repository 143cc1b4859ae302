"""A player that plays by itself: it moves about, and says something numbered every now and then.

    python bot.py 127.0.0.1:42000 ada --folder players

It can be killed at any time: its session (FOLDER/ada.session) and the number of what it says next (FOLDER/ada.number)
are kept. What it sees is told on stdout, a line of JSON each: chaos.py reads it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
from pathlib import Path

from words import pack, unpack

from voltlane import (
    Client,
    ClientError,
    ClientOptions,
    ClientReconnected,
    ClosedError,
    FileStore,
    Retry,
    SessionOverError,
    client_id_text,
)

_MOVE = 0.05
_SAY = 0.2
# What was said and is not confirmed after this long is said again: the lobby may have died before it wrote it down.
_AGAIN = 1.0


class Bot:
    """A player, over all of its sessions."""

    def __init__(self, endpoint: str, name: str, folder: Path) -> None:
        self._endpoint = endpoint
        self._name = name
        self._store = FileStore(folder / f"{name}.session")
        self._number_file = folder / f"{name}.number"
        self._number = int(self._number_file.read_text()) if self._number_file.exists() else 1
        self._heard = asyncio.Event()
        self.is_leaving = False

    async def play(self) -> None:
        """One session after the other: where one is over, a new one begins."""
        options = ClientOptions(reconnection=Retry(0.05, 1.0))
        while not self.is_leaving:
            async with await Client.open(self._endpoint, self._store, options, Retry(0.05, 1.0)) as client:
                self._tell("session", id=client_id_text(client.client_id), resumed=client.is_resumed)
                tasks = [asyncio.ensure_future(work) for work in (self._listen(client), self._move(client))]
                tasks += [asyncio.ensure_future(self._say(client)), asyncio.ensure_future(self._watch(client))]
                try:
                    await client.send(pack("hello", name=self._name))
                    # Listening ends with the session.
                    await tasks[0]
                except SessionOverError:
                    self._tell("over")
                except ClosedError:
                    pass
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, client: Client) -> None:
        async for packet in client:
            said = unpack(packet)
            if said.get("kind") == "who":
                await client.send(pack("hello", name=self._name))
            elif said.get("kind") == "heard" and said.get("number") == self._number:
                self._number += 1
                self._save_number()
                self._heard.set()
            elif said.get("kind") in ("said", "world"):
                self._tell(**said)

    async def _move(self, client: Client) -> None:
        x = 0
        while True:
            x += 1
            # One that finds no room is not worth waiting for.
            client.try_send(pack("move", x=x))
            await asyncio.sleep(_MOVE)

    async def _say(self, client: Client) -> None:
        self._save_number()
        while not self.is_leaving:
            self._heard.clear()
            await client.send(pack("say", number=self._number, text=f"{self._name} says {self._number}"))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._heard.wait(), _AGAIN)
                await asyncio.sleep(_SAY)
        await client.send(pack("bye"))

    async def _watch(self, client: Client) -> None:
        async for state in client.states():
            if isinstance(state, ClientReconnected):
                self._tell("back")

    def _save_number(self) -> None:
        new = self._number_file.with_suffix(".new")
        new.write_text(str(self._number))
        os.replace(new, self._number_file)

    def _tell(self, kind: str, **fields: object) -> None:
        print(json.dumps({"kind": kind, **fields}), flush=True)


async def main(endpoint: str, name: str, folder: Path) -> None:
    """Plays until it is told to leave."""
    bot = Bot(endpoint, name, folder)

    def leave() -> None:
        bot.is_leaving = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    try:
        await bot.play()
    except ClientError as error:
        raise SystemExit(f"{name}: {error}") from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A player of the lobby that plays by itself.")
    parser.add_argument("relay", help="where the relay listens, such as 127.0.0.1:42000")
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path, default=Path(), help="where its session and its number are kept")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(main(given.relay, given.name, given.folder))
