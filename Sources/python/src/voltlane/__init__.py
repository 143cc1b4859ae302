"""Clients and backends of a Voltlane relay, with asyncio.

:class:`Client` talks to a relay's backend, :class:`Backend` to all clients of a relay. The modules :mod:`.wire`,
:mod:`.events` and :mod:`.handshake` implement the protocol without I/O, for your own sockets.
"""

from __future__ import annotations

from .backend import Backend, BackendOptions
from .client import Client
from .endpoint import Endpoint
from .errors import (
    BackendError,
    CannotListenError,
    ClientError,
    ClosedDuringHandshakeError,
    ClosedError,
    ConnectionLostError,
    ConnectTimeoutError,
    GaveUpError,
    HandshakeError,
    InvalidChallengeError,
    InvalidKeyError,
    NotConnectedError,
    OversizedPacketError,
    PacketTooLargeError,
    RefusedError,
    RelayPacketTooLargeError,
    SessionInUseError,
    SessionOverError,
    SessionSharedError,
    SessionStoreError,
    UnreachableError,
    VoltlaneError,
    WireError,
    WrongRelayKeyError,
)
from .events import (
    Address,
    Announced,
    Away,
    Connected,
    Data,
    Disconnected,
    Event,
    Failure,
    Firehose,
    FirehoseParser,
    Reconnection,
    RefusedPacket,
)
from .keys import MissingCryptographyError
from .options import ClientOptions, Heartbeat, Retry
from .session import FileStore, Session, SessionStore
from .states import ClientConnected, ClientOver, ClientReconnected, ClientReconnecting, ClientState
from .table import Change, ClientRecord, ClientTable
from .wire import client_id_text

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Announced",
    "Away",
    "Backend",
    "BackendError",
    "BackendOptions",
    "CannotListenError",
    "Change",
    "Client",
    "ClientConnected",
    "ClientError",
    "ClientOptions",
    "ClientOver",
    "ClientReconnected",
    "ClientReconnecting",
    "ClientRecord",
    "ClientState",
    "ClientTable",
    "ClosedDuringHandshakeError",
    "ClosedError",
    "ConnectTimeoutError",
    "Connected",
    "ConnectionLostError",
    "Data",
    "Disconnected",
    "Endpoint",
    "Event",
    "Failure",
    "FileStore",
    "Firehose",
    "FirehoseParser",
    "GaveUpError",
    "HandshakeError",
    "Heartbeat",
    "InvalidChallengeError",
    "InvalidKeyError",
    "MissingCryptographyError",
    "NotConnectedError",
    "OversizedPacketError",
    "PacketTooLargeError",
    "Reconnection",
    "RefusedError",
    "RefusedPacket",
    "RelayPacketTooLargeError",
    "Retry",
    "Session",
    "SessionInUseError",
    "SessionOverError",
    "SessionSharedError",
    "SessionStore",
    "SessionStoreError",
    "UnreachableError",
    "VoltlaneError",
    "WireError",
    "WrongRelayKeyError",
    "client_id_text",
]
