"""What the tests share: vectors, a relay that is played, and one that is real."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import socket
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import pytest

from voltlane.keys import PublicKey, SecretKey, open_box, seal
from voltlane.wire import HandshakeKind, framed, handshake_packet, read_handshake_packet

ROOT = Path(__file__).resolve().parents[3]
_VECTORS = ROOT / "Tests" / "Vectors" / "vectors.json"

#: More than anything here takes, however busy the machine is; a test that needs it has failed.
PATIENCE = 300


@functools.cache
def vectors() -> Any:
    """The protocol's worked bytes. They belong to the repository; an unpacked sdist has none."""
    if not _VECTORS.exists():
        pytest.skip("the vectors are in the repository, at Tests/Vectors/vectors.json")
    return json.loads(_VECTORS.read_text())


def vector(section: str, name: str) -> bytes:
    return bytes.fromhex(vectors()[section][name])


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that runs in a loop of its own. Everything it started must have ended with it."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def limited() -> None:
            try:
                await asyncio.wait_for(test(*arguments, **named), PATIENCE)
            finally:
                for link in _dialled:
                    link.writer.transport.abort()
                _dialled.clear()
                # The transports' last calls.
                await asyncio.sleep(0)

        asyncio.run(limited())

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that no event tells."""
    while not condition():  # noqa: ASYNC110 - there is no event.
        await asyncio.sleep(0.005)


class Link:
    """One connection of a played relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> bytes:
        """The next packet."""
        (size,) = struct.unpack("<I", await self.reader.readexactly(4))
        return await self.reader.readexactly(size)

    def pause(self) -> None:
        """Takes nothing from the kernel any more; a stream of asyncio's would read on for its buffer."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def ended(self) -> None:
        """Waits for the other side's end, whatever it is."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, packet: bytes) -> None:
        self.writer.write(framed(packet))

    def send_handshake(self, kind: HandshakeKind, value: int = 0, data: bytes = b"") -> None:
        self.writer.write(handshake_packet(kind, value, data))

    def close(self) -> None:
        """Closes in an orderly way."""
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    def reset(self) -> None:
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Link], Awaitable[None]]


# Closed at the end of the test that dialled.
_dialled: list[Link] = []


class PlayedRelay:
    """A relay's client link. Each connection goes to the next handler, the last one serves all that follow."""

    def __init__(self, *handlers: Handler) -> None:
        self.key = SecretKey(bytes(31) + b"\x07")
        self.handlers = list(handlers)
        self.links: list[Link] = []
        self.clients: dict[int, bytes] = {}
        self.port = 0
        self._next_id = 0xFEEDFACE00000001
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    async def __aenter__(self) -> PlayedRelay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for link in self.links:
            link.writer.transport.abort()
        # What the handlers found wrong is wrong.
        for failure in self.failures:
            raise failure

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(reader, writer)
        self.links.append(link)
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        try:
            await handler(link)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        except BaseException as error:
            self.failures.append(error)
            link.writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def greet(self, link: Link) -> None:
        """Takes the version, and shows the key."""
        assert read_handshake_packet(await link.read()) == (HandshakeKind.PROTOCOL_VERSION, 2, b"")
        link.send_handshake(HandshakeKind.PUBLIC_KEY, data=self.key.public)

    async def accept(self, link: Link) -> int:
        """Shakes hands with a client, new or old; returns its id."""
        await self.greet(link)
        said = read_handshake_packet(await link.read())
        if said.kind is HandshakeKind.PUBLIC_KEY:
            client_id, self._next_id = self._next_id, self._next_id + 1
            self.clients[client_id] = said.data
            link.send_handshake(HandshakeKind.CLIENT_ID, client_id)
            return client_id
        assert said.kind is HandshakeKind.CLIENT_ID
        await self.challenge(link, said.value)
        return said.value

    async def challenge(self, link: Link, client_id: int) -> None:
        """Has a client show that it is who it says."""
        key = self.key.session_key(PublicKey(self.clients[client_id]))
        plain = os.urandom(32)
        box = seal(plain, key, os.urandom(24))
        link.send_handshake(HandshakeKind.CHALLENGE, data=box)
        response = read_handshake_packet(await link.read())
        assert response.kind is HandshakeKind.CHALLENGE_RESPONSE
        assert open_box(response.data, key) == plain
        assert response.data[-24:] != box[-24:]
        assert read_handshake_packet(await link.read()).kind is HandshakeKind.PING
        link.send_handshake(HandshakeKind.PING)


async def dial(port: int) -> Link:
    """A relay's firehose connection to a backend."""
    link = Link(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))
    _dialled.append(link)
    return link


async def dial_unix(path: str) -> Link:
    """The same, on a unix socket."""
    link = Link(*await asyncio.open_unix_connection(path))
    _dialled.append(link)
    return link


_numbers = itertools.count(os.getpid() % 100 * 200)


def free_port() -> int:
    """A port on which nobody listens. The kernel gives none out so far below its own range, so nobody else gets it."""
    while True:
        port = 10_000 + next(_numbers) % 20_000
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class BuiltRelay:
    """The relay's program, as the repository built it: TEST_RELAY, or the debug or release build."""

    def __init__(self, backend: object, *arguments: str, port: int = 0) -> None:
        self.port = port or free_port()
        self._arguments = ["--listen", self.endpoint, "--backend", str(backend), *arguments]
        self._process: asyncio.subprocess.Process | None = None

    @staticmethod
    def path() -> str:
        given = os.environ.get("TEST_RELAY")
        candidates = [Path(given)] if given else [ROOT / ".build" / kind / "voltlane" for kind in ("debug", "release")]
        for candidate in candidates:
            if candidate.exists():
                return str(candidate)
        if os.environ.get("TEST_RELAY_REQUIRED"):
            raise AssertionError("the relay is not built: swift build")
        pytest.skip("the relay is not built here: swift build, or TEST_RELAY=/path/of/voltlane")

    @staticmethod
    @functools.cache
    def has(flag: str) -> bool:
        """Whether the relay that was built knows a flag."""
        given = subprocess.run([BuiltRelay.path(), "--help"], capture_output=True, text=True, check=True).stdout
        return flag in given

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> BuiltRelay:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - the relay writes to it until `kill`.
        self._process = await asyncio.create_subprocess_exec(
            self.path(), *self._arguments, stderr=self._log, stdin=asyncio.subprocess.DEVNULL
        )
        await self._wait(self._log)

    async def says(self, text: str) -> None:
        """Waits until the text is in the log."""
        await until(lambda: text.encode() in os.pread(self._log.fileno(), 1 << 20, 0))

    async def _wait(self, log: IO[bytes]) -> None:
        """Until it listens."""
        assert self._process is not None
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self._process.returncode is not None:
                    log.seek(0)
                    raise AssertionError(f"the relay has ended: {self._arguments} {log.read().decode()}") from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    async def kill(self) -> None:
        """As by a power cut: nothing orderly."""
        await self._end(lambda process: process.kill())

    async def terminate(self) -> None:
        await self._end(lambda process: process.terminate())

    async def _end(self, end: Callable[[asyncio.subprocess.Process], None]) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                end(process)
            await process.wait()
            self._log.close()


@contextlib.asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that runs beside, and whose error is the test's."""
    task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
