"""A lobby: players move about in a world and talk. It survives the end of every part, its own included.

    python lobby.py --listen 127.0.0.1:42001 --journal lobby.journal

Beside it runs a relay: voltlane --listen 127.0.0.1:42000 --backend 127.0.0.1:42001 --away on

- Who is there comes from a ClientTable: after a restart the relay names its clients, and the lobby asks those whom
  it does not know who they are.
- Positions go out by one volatile multicast a tick: a player that is away or slow misses some, and holds up nobody.
- What is said is written down before it is confirmed, and a player says it again until it is confirmed: so it is
  neither lost nor told twice, whoever dies meanwhile.
- A player that leaves for good says so, and is kicked: else its session would wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import secrets
import signal
from typing import Any

from words import pack, unpack

from voltlane import Backend, ClientTable, Data, Event, NotConnectedError

_TICK = 0.05
# Where more than this waits for the relay, a tick is left out: the next one is newer.
_BACKLOG = 1 << 20


class Player:
    """What the lobby knows of a client that has said its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.x = 0


class Lobby:
    """The world, and who is in it."""

    def __init__(self, backend: Backend, journal: str, plain: bool) -> None:
        self._backend = backend
        self._plain = plain
        self._table = ClientTable()
        # The highest number that each player's words were written down with.
        self._heard: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError), open(journal) as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    self._heard[entry["name"]] = entry["number"]
        self._journal = open(journal, "a", buffering=1)  # noqa: SIM115 - it stays open.
        # A tick's number is told with the lobby's life: the next one begins with 1 again.
        self._life = secrets.token_hex(4)
        self._tick = 0

    async def serve(self) -> None:
        """Takes what the relay says, a batch at a time."""
        async for batch in self._backend.batches():
            for event in batch:
                with contextlib.suppress(NotConnectedError):
                    # The relay has gone while it was answered: it comes again, and so do its clients.
                    await self._take(event)

    async def tick(self) -> None:
        """Shows the world to everybody, many times a second."""
        while True:
            await asyncio.sleep(_TICK)
            self._tick += 1
            if self._backend.firehose is None or self._backend.unsent_bytes > _BACKLOG:
                continue
            players = {record.state.name: record.state.x for record in self._table if isinstance(record.state, Player)}
            with contextlib.suppress(NotConnectedError):
                await self._tell_all(pack("world", life=self._life, tick=self._tick, players=players), volatile=True)

    async def _take(self, event: Event) -> None:
        joined, left = self._table.apply(event)
        for record in left:
            if isinstance(record.state, Player):
                logging.info("%s has left", record.state.name)
        for record in joined:
            # One whom a relay announced, or who was heard for the first time.
            await self._backend.send(record.client_id, pack("who"))
        if isinstance(event, Data):
            await self._hear(event.client_id, unpack(event.data))

    async def _hear(self, client_id: int, said: dict[str, Any]) -> None:
        record = self._table[client_id]
        kind = said.get("kind")
        if kind == "hello" and isinstance(said.get("name"), str):
            record.state = Player(said["name"])
            logging.info("%s is here", said["name"])
        elif kind == "bye":
            await self._backend.kick(client_id)
        elif not isinstance(record.state, Player):
            await self._backend.send(client_id, pack("who"))
        elif kind == "move" and isinstance(said.get("x"), int):
            record.state.x = said["x"]
        elif kind == "say" and isinstance(said.get("number"), int):
            await self._write_down(client_id, record.state.name, said["number"], str(said.get("text")))

    async def _write_down(self, client_id: int, name: str, number: int, text: str) -> None:
        if number == self._heard.get(name, 0) + 1:
            self._journal.write(json.dumps({"name": name, "number": number, "text": text}) + "\n")
            self._heard[name] = number
            await self._tell_all(pack("said", name=name, number=number, text=text))
        if number <= self._heard.get(name, 0):
            await self._backend.send(client_id, pack("heard", number=number))

    async def _tell_all(self, packet: bytes, volatile: bool = False) -> None:
        # What is worth nothing later need not even be sent to those who are away.
        ids = self._table.present_ids if volatile else self._table.ids
        if not self._plain:
            await self._backend.multicast(ids, packet, volatile=volatile)
            return
        for client_id in ids:
            await self._backend.send(client_id, packet)


async def main(listen: str, journal: str, plain: bool) -> None:
    """Runs until it is told to end."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with await Backend.listen(listen) as backend:
        logging.info("the lobby is open at %s", backend.address)
        lobby = Lobby(backend, journal, plain)
        tasks = [asyncio.ensure_future(work) for work in (lobby.serve(), lobby.tick(), ended.wait())]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A lobby, behind a Voltlane relay.")
    parser.add_argument("--listen", default="127.0.0.1:42001", help="where the relay finds it")
    parser.add_argument("--journal", default="lobby.journal", help="the file in which everything that is said is kept")
    parser.add_argument("--plain", action="store_true", help="without multicast: for a relay that does not have it")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s lobby: %(message)s")
    asyncio.run(main(given.listen, given.journal, given.plain))
