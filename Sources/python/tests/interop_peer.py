"""This package as a peer of the interop tests: commands on stdin, an answer for each on stdout.

See Tests/Interop/README.md in the repository.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import voltlane
from voltlane import (
    Backend,
    BackendOptions,
    Client,
    ClientOptions,
    FileStore,
    NotConnectedError,
    Retry,
    Session,
    client_id_text,
)

_WORDS: list[tuple[type[BaseException], str]] = [
    (voltlane.UnreachableError, "unreachable"),
    (voltlane.ConnectTimeoutError, "timeout"),
    (voltlane.ClosedDuringHandshakeError, "closed-during-handshake"),
    (voltlane.SessionOverError, "session-over"),
    (voltlane.RefusedError, "refused"),
    (voltlane.WrongRelayKeyError, "wrong-relay-key"),
    (voltlane.InvalidChallengeError, "invalid-challenge"),
    (voltlane.HandshakeError, "protocol"),
    (voltlane.RelayPacketTooLargeError, "protocol"),
    (voltlane.ConnectionLostError, "connection-lost"),
    (voltlane.ClosedError, "closed"),
    (voltlane.PacketTooLargeError, "too-large"),
    (voltlane.SessionStoreError, "invalid-session"),
    (voltlane.InvalidKeyError, "invalid-session"),
    (NotConnectedError, "not-connected"),
    (voltlane.GaveUpError, "gave-up"),
]


def _error(error: BaseException) -> str:
    word = next((word for kind, word in _WORDS if isinstance(error, kind)), "other")
    return f"error {word} {' '.join(str(error).split())}"


def _bytes(text: str) -> bytes:
    kind, _, rest = text.partition(":")
    if kind == "hex":
        return bytes.fromhex(rest)
    size, seed = map(int, rest.split(":"))
    block = bytes((index + seed) % 256 for index in range(251))
    return (block * (size // 251 + 1))[:size]


def _summary(data: bytes) -> str:
    return f"{len(data)} {zlib.crc32(data):08x}"


def _seconds(text: str) -> float:
    # What is there already has to be read.
    return max(int(text) / 1000, 0.02)


class ClientPeer:
    """A client that is told what to do."""

    def __init__(self) -> None:
        self._client: Client | None = None

    async def answer(self, command: str, words: list[str]) -> str:
        """Does what a command says."""
        if command == "connect":
            await self.close()
            self._client = await Client.connect(words[0], _options(words[1]))
            return self._who()
        if command == "resume":
            await self.close()
            session = FileStore(words[1]).load()
            if session is None:
                return f"error invalid-session there is no {words[1]}"
            self._client = await Client.resume(session, words[0], _options(words[2]))
            return self._who()
        if command == "close":
            await self.close()
            return "ok"
        if self._client is None:
            return "error closed there is no client"
        if command == "save":
            session = Session(self._client.client_id, self._client.session.secret_key, self._client.relay_key)
            FileStore(words[0]).save(session)
            return "ok"
        if command == "send":
            await asyncio.wait_for(self._client.send(_bytes(words[0])), 10)
            return "ok"
        if command == "finish":
            await asyncio.wait_for(self._client.finish(), 10)
            return "ok"
        if command == "receive":
            try:
                return f"packet {_summary(await asyncio.wait_for(self._client.recv(), _seconds(words[0])))}"
            except asyncio.TimeoutError:
                return "timeout"
            except voltlane.ClosedError:
                return "closed"
        return f"error unsupported {command}"

    async def close(self) -> None:
        """Leaves nothing behind."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _who(self) -> str:
        assert self._client is not None
        return f"ok {client_id_text(self._client.client_id)} {self._client.relay_key.hex()}"


def _options(mode: str) -> ClientOptions:
    return ClientOptions(reconnection=Retry(0.05, 0.5) if mode == "auto" else None)


class BackendPeer:
    """A backend that is told what to do."""

    def __init__(self) -> None:
        self._backend: Backend | None = None

    async def answer(self, command: str, words: list[str]) -> str:
        """Does what a command says."""
        if command == "listen":
            await self.close()
            self._backend = await Backend.listen(words[0], BackendOptions(every_answer=True))
            return f"ok {self._backend.address.port}"
        if command == "close":
            await self.close()
            return "ok"
        if self._backend is None:
            return "error not-connected there is no backend"
        if command == "receive":
            try:
                return await asyncio.wait_for(self._receive(), _seconds(words[0]))
            except asyncio.TimeoutError:
                return "timeout"
        loop = asyncio.get_running_loop()
        end = loop.time() + 10
        while True:
            try:
                return await asyncio.wait_for(self._send(command, words), 10)
            except NotConnectedError:
                if loop.time() > end:
                    raise
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Leaves nothing behind."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.stop()

    async def _send(self, command: str, words: list[str]) -> str:
        assert self._backend is not None
        if command == "send":
            await self._backend.send(int(words[0], 16), _bytes(words[1]))
        elif command == "volatile":
            await self._backend.send(int(words[0], 16), _bytes(words[1]), volatile=True)
        elif command == "kick":
            await self._backend.kick(int(words[0], 16))
        elif command == "multicast":
            ids = [int(word, 16) for word in words[1].split(",")]
            await self._backend.multicast(ids, _bytes(words[2]), volatile=words[0] == "volatile")
        else:
            return f"error unsupported {command}"
        return "ok"

    async def _receive(self) -> str:
        assert self._backend is not None
        async for event in self._backend:
            if isinstance(event, voltlane.Data):
                return f"data {client_id_text(event.client_id)} {_summary(event.data)}"
            if isinstance(event, voltlane.Failure):
                return f"failure {client_id_text(event.client_id)} {event.reason}"
            if isinstance(event, voltlane.Reconnection):
                return f"reconnection {client_id_text(event.client_id)}"
            if isinstance(event, voltlane.Away):
                return f"away {client_id_text(event.client_id)}"
            if isinstance(event, voltlane.Address):
                family = 0 if event.host is None else event.host.version
                return f"address {client_id_text(event.client_id)} {family} {event.host or '-'} {event.port}"
        raise voltlane.ClosedError


async def _main(role: str) -> None:
    peer: ClientPeer | BackendPeer = ClientPeer() if role == "client" else BackendPeer()
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        command, *words = line.split()
        try:
            answer = await peer.answer(command, words)
        except asyncio.TimeoutError:
            answer = f"error timeout {command}"
        except Exception as error:
            answer = _error(error)
        print(answer, flush=True)
    await peer.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
