"""A table of clients, kept from a backend's events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .events import Address, Announced, Away, Connected, Data, Event, Failure, Reconnection
from .wire import Address as IPAddress


@dataclass
class ClientRecord:
    """What is known of a client."""

    client_id: int
    #: When it was first heard of, on the clock of ``time.monotonic``.
    since: float
    #: Since when it is away, on the same clock; None: it is there (or the relay runs without ``--away on``).
    away_since: float | None = None
    #: Where it connects from (with ``--addresses on``); None: unknown.
    host: IPAddress | None = None
    port: int = 0
    #: For whatever belongs to it.
    state: object = field(default=None, repr=False)


class Change(NamedTuple):
    """Who joined and who left with an event. Mostly empty."""

    joined: tuple[ClientRecord, ...] = ()
    left: tuple[ClientRecord, ...] = ()


_NONE = Change()


class ClientTable:
    """Who is there, in spite of lost connections and restarts. Pass it every event::

        table = ClientTable()
        async for event in backend:
            joined, left = table.apply(event)

    When a connection begins, everyone is in doubt, and clients that its announcement does not name are gone. A relay
    that runs with ``--announce off`` names nobody: pass ``announces=False``.
    """

    def __init__(self, *, announces: bool = True) -> None:
        self._clients: dict[int, ClientRecord] = {}
        self._in_doubt: set[int] = set()
        self._announces = announces

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._clients

    def __getitem__(self, client_id: int) -> ClientRecord:
        return self._clients[client_id]

    def __iter__(self) -> Iterator[ClientRecord]:
        return iter(self._clients.values())

    def get(self, client_id: int) -> ClientRecord | None:
        """The client's record; None where it is not there."""
        return self._clients.get(client_id)

    @property
    def ids(self) -> list[int]:
        """The ids of all clients, those included that are away."""
        return list(self._clients)

    @property
    def present_ids(self) -> list[int]:
        """The ids of the clients that are not away, as far as the relay tells."""
        return [record.client_id for record in self._clients.values() if record.away_since is None]

    def apply(self, event: Event) -> Change:
        """Takes an event, and returns who joined and who left with it."""
        if isinstance(event, Data):
            # A client that is away cannot send: its reconnection comes first.
            if event.client_id in self._clients:
                return _NONE
            return self._there(event.client_id)
        if isinstance(event, Reconnection):
            change = self._there(event.client_id)
            self._clients[event.client_id].away_since = None
            return change
        if isinstance(event, Failure):
            self._in_doubt.discard(event.client_id)
            record = self._clients.pop(event.client_id, None)
            return _NONE if record is None else Change(left=(record,))
        if isinstance(event, Away):
            change = self._there(event.client_id)
            self._clients[event.client_id].away_since = time.monotonic()
            return change
        if isinstance(event, Address):
            change = self._there(event.client_id)
            record = self._clients[event.client_id]
            record.host, record.port = event.host, event.port
            return change
        if isinstance(event, Connected):
            if self._announces:
                self._in_doubt = set(self._clients)
        elif isinstance(event, Announced):
            gone = tuple(self._clients.pop(client_id) for client_id in self._in_doubt)
            self._in_doubt = set()
            return Change(left=gone)
        return _NONE

    def _there(self, client_id: int) -> Change:
        self._in_doubt.discard(client_id)
        if client_id in self._clients:
            return _NONE
        record = ClientRecord(client_id, time.monotonic())
        self._clients[client_id] = record
        return Change(joined=(record,))
