"""Kills every part of a lobby, one after the other and over again, as kill -9 does, and checks what the players saw.

    python chaos.py --relay .build/release/voltlane --bots 5 --rounds 3 [--plain]

After each kill the part is started again, and everybody must see everybody in the world, moving, before the next one.
At the end every player leaves, and then

- everything that was said stands in the lobby's journal once, in order, without a gap;
- nobody was told anything twice or out of order within a session;
- a player kept its session through the ends of the lobby and of itself, and lost it with the relay's only.

It exits with 1 where one of these does not hold. Its last line says how it went.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent
_PATIENCE = 60


class WrongError(Exception):
    """What must not be."""


class Part:
    """A program that is killed and started again. What it prints goes to a file, through all its lives."""

    def __init__(self, name: str, folder: Path, *command: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        errors = self.log.with_suffix(".errors")
        with open(self.log, "ab") as output, open(errors, "ab") as error:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=error, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Asks it to end, and waits."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise WrongError(f"{self.name} does not end") from None
        if code != 0:
            raise WrongError(f"{self.name} has ended with {code}")

    def check_alive(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            errors = self.log.with_suffix(".errors").read_text()[-2000:]
            raise WrongError(f"{self.name} has ended by itself, with {self._process.returncode}:\n{errors}")


def _lines(log: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Whole lines of a log; one that a kill cut short is left out."""
    with open(log, "rb") as file:
        file.seek(offset)
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue


class Chaos:
    """A relay, a lobby and its players."""

    def __init__(self, relay: str, bots: int, plain: bool, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            outside, inside = (f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two))
        self._folder = folder
        self._journal = folder / "journal"
        more = ["--plain"] if plain else []
        self._relay = Part(
            "relay", folder, relay, "--listen", outside, "--backend", inside, "--identity", str(folder / "identity")
        )
        self._lobby = Part(
            "lobby",
            folder,
            sys.executable,
            str(_FOLDER / "lobby.py"),
            "--listen",
            inside,
            "--journal",
            str(self._journal),
            *more,
        )
        self._names = [f"bot{number}" for number in range(bots)]
        self._bots = [
            Part(name, folder, sys.executable, str(_FOLDER / "bot.py"), outside, name, "--folder", str(folder))
            for name in self._names
        ]
        self._parts = [self._relay, self._lobby, *self._bots]
        self._relay_lives = 1

    def run(self, rounds: int) -> str:
        begin = time.monotonic()
        try:
            for part in self._parts:
                part.start()
            self._wait_for_everybody("the start")
            kills = 0
            for _ in range(rounds):
                for part in (self._lobby, self._relay, random.choice(self._bots)):
                    part.kill()
                    if part is self._relay:
                        self._relay_lives += 1
                    # Sometimes it is back before anybody noticed, sometimes not.
                    time.sleep(random.choice((0, 0.3, 1.5)))
                    part.start()
                    kills += 1
                    self._wait_for_everybody(f"the end of {part.name}")
            for bot in self._bots:
                bot.leave()
            self._lobby.leave()
            said = self._check_journal()
            told = sum(self._check_bot(bot) for bot in self._bots)
        finally:
            for part in self._parts:
                part.kill()
        seconds = time.monotonic() - begin
        return f"{kills} kills, {said} sayings written down once, {told} told in order; {seconds:.0f} s"

    def _wait_for_everybody(self, after: str) -> None:
        """Until every player has seen all players move, and heard each of them, from now on."""
        offsets = {bot.name: bot.log.stat().st_size for bot in self._bots}
        missing = list(self._bots)
        end = time.monotonic() + _PATIENCE
        while missing:
            if time.monotonic() > end:
                raise WrongError(f"after {after}, {missing[0].name} does not see everybody: see {self._folder}")
            for part in self._parts:
                part.check_alive()
            time.sleep(0.1)
            missing = [bot for bot in missing if not self._sees_everybody(bot, offsets[bot.name])]

    def _sees_everybody(self, bot: Part, offset: int) -> bool:
        places: dict[str, set[int]] = {}
        heard: set[str] = set()
        for line in _lines(bot.log, offset):
            if line.get("kind") == "world":
                for name, x in line["players"].items():
                    places.setdefault(name, set()).add(x)
            elif line.get("kind") == "said":
                heard.add(line["name"])
        names = set(self._names)
        return heard == names and set(places) == names and all(len(seen) > 1 for seen in places.values())

    def _check_journal(self) -> int:
        numbers: dict[str, int] = {}
        count = 0
        for line in _lines(self._journal):
            expected = numbers.get(line["name"], 0) + 1
            if line["number"] != expected or line["text"] != f"{line['name']} says {expected}":
                raise WrongError(f"the journal has {line} where number {expected} was expected")
            numbers[line["name"]] = expected
            count += 1
        if set(numbers) != set(self._names):
            raise WrongError(f"the journal has the words of {sorted(numbers)} only")
        for name in self._names:
            following = int((self._folder / f"{name}.number").read_text())
            # What it says next may be written down and not be confirmed to it.
            if numbers[name] not in (following - 1, following):
                raise WrongError(f"{name} goes on with {following}, and the journal ends with {numbers[name]}")
        return count

    def _check_bot(self, bot: Part) -> int:
        last: dict[str, int] = {}
        life, tick = "", 0
        lives: set[str] = set()
        ids: set[str] = set()
        count = 0
        for line in _lines(bot.log):
            kind = line.get("kind")
            if kind == "session":
                if line["resumed"] != (line["id"] in ids):
                    raise WrongError(f"{bot.name} came back wrongly: {line}")
                if not line["resumed"]:
                    last = {}
                ids.add(line["id"])
            elif kind == "said":
                count += 1
                if line["number"] <= last.get(line["name"], 0):
                    raise WrongError(f"{bot.name} was told {line} after {last}")
                last[line["name"]] = line["number"]
            elif kind == "world":
                if line["life"] != life and line["life"] in lives:
                    raise WrongError(f"{bot.name} was shown the world of a lobby that had been replaced: {line}")
                if line["life"] == life and line["tick"] <= tick:
                    raise WrongError(f"{bot.name} was shown {line} after the tick {tick}")
                life, tick = line["life"], line["tick"]
                lives.add(life)
        if len(ids) > self._relay_lives:
            raise WrongError(f"{bot.name} had {len(ids)} sessions with {self._relay_lives} lives of the relay")
        return count


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills every part of a lobby, and checks what the players saw.")
    parser.add_argument("--relay", required=True, help="the relay's program")
    parser.add_argument("--bots", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="in each the lobby, the relay and a player are killed")
    parser.add_argument("--plain", action="store_true", help="without multicast: for a relay that does not have it")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lobby-"))
    try:
        result = Chaos(os.path.abspath(given.relay), given.bots, given.plain, folder).run(given.rounds)
    except WrongError as wrong:
        print(f"chaos: WRONG: {wrong}\nthe logs are in {folder}")
        return 1
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    print(f"chaos: all is well: {result}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
