"""How a client stands with its relay."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Union

from .errors import ClientError
from .limits import STATES


@dataclass(frozen=True)
class ClientConnected:
    """On its first connection, whether as a new client or resumed."""


@dataclass(frozen=True)
class ClientReconnecting:
    """The connection is lost, and an attempt to come back follows. Sent packets wait."""

    #: Counted from 1 since the loss.
    attempt: int
    #: Why the attempt is needed: how the connection ended, or what the attempt before came to.
    cause: ClientError


@dataclass(frozen=True)
class ClientReconnected:
    """On a later connection: the relay has taken the client back. The moment to ask what was lost."""


@dataclass(frozen=True)
class ClientOver:
    """For good; nothing follows.

    No error: by ``close()``, or because the relay closed the connection in an orderly way and the client does not
    reconnect.
    """

    error: ClientError | None = None


ClientState = Union[ClientConnected, ClientReconnecting, ClientReconnected, ClientOver]


class _Observer:
    def __init__(self, state: ClientState) -> None:
        self.states: deque[ClientState] = deque([state], maxlen=STATES)
        self.news = asyncio.Event()
        self.news.set()


class States:
    """The state of a client, and those who want to know of its changes."""

    def __init__(self) -> None:
        self.state: ClientState = ClientConnected()
        self._observers: weakref.WeakSet[_Observer] = weakref.WeakSet()

    def change(self, state: ClientState) -> bool:
        """Changes the state, except where it is over already: then it returns False."""
        if isinstance(self.state, ClientOver):
            return False
        self.state = state
        for observer in list(self._observers):
            observer.states.append(state)
            observer.news.set()
        return True

    def observe(self) -> AsyncIterator[ClientState]:
        """The state as it is, then every change, through the last one."""
        observer = _Observer(self.state)
        self._observers.add(observer)
        return _follow(observer)


async def _follow(observer: _Observer) -> AsyncIterator[ClientState]:
    while True:
        await observer.news.wait()
        observer.news.clear()
        while observer.states:
            state = observer.states.popleft()
            yield state
            if isinstance(state, ClientOver):
                return
