"""The client's side of the handshake, version 2. No I/O: packets in, bytes out.

A new client::

    C -> R  protocol version 2
    C -> R  public key of the client
    R -> C  public key of the relay
    R -> C  client id

The relay answers in this order whether or not the client waits for its key, and nothing that the client sends depends
on it: so both packets go out at once, which saves a round trip.

A client that comes back::

    C -> R  protocol version 2
    R -> C  public key of the relay       must be the one that is known
    C -> R  client id
    R -> C  challenge: 32 bytes, sealed
    C -> R  the same 32 bytes, sealed anew under a fresh nonce
    C -> R  ping
    R -> C  ping                          from here on the session is on this connection

The id waits for the relay's key: it is nobody else's business, and an orderly close after the id has a meaning.
"""

from __future__ import annotations

from enum import Enum

from .errors import (
    ClientError,
    ClosedDuringHandshakeError,
    HandshakeError,
    InvalidKeyError,
    RefusedError,
    SessionOverError,
    WireError,
    WrongRelayKeyError,
)
from .keys import PublicKey, SecretKey, answer
from .wire import HandshakeKind, HandshakePacket, handshake_packet, read_handshake_packet

VERSION = 2


class _Awaiting(Enum):
    RELAY_KEY = "relay key"
    CLIENT_ID = "client id"
    CHALLENGE = "challenge"
    PING = "ping"
    NOTHING = "nothing"


class Handshake:
    """One attempt to shake hands.

    Send :attr:`opening`; then give each packet that comes to :meth:`receive` and send what it returns, until
    :attr:`is_done`.
    """

    def __init__(self, key: SecretKey, relay_key: PublicKey | None = None, client_id: int | None = None) -> None:
        if client_id is not None and relay_key is None:
            raise ValueError("relay_key: missing; a client that comes back knows its relay's key")
        #: Who the client is; None until the relay has said so.
        self.client_id = client_id
        #: The relay's key; None until it is known.
        self.relay_key = relay_key
        self._key = key
        self._is_new = client_id is None
        self._awaiting = _Awaiting.RELAY_KEY
        #: What the client says first, without waiting for anything.
        self.opening = handshake_packet(HandshakeKind.PROTOCOL_VERSION, VERSION)
        if self._is_new:
            self.opening += handshake_packet(HandshakeKind.PUBLIC_KEY, data=key.public)

    @property
    def is_done(self) -> bool:
        """Whether every packet from here on is application data."""
        return self._awaiting is _Awaiting.NOTHING

    def receive(self, packet: bytes) -> bytes:
        """Takes one packet from the relay, and returns what is to be sent."""
        try:
            read = read_handshake_packet(packet)
        except WireError as error:
            raise HandshakeError(str(error)) from None
        awaiting = self._awaiting
        if awaiting is _Awaiting.RELAY_KEY and read.kind is HandshakeKind.PUBLIC_KEY:
            return self._receive_relay_key(read)
        if awaiting is _Awaiting.CLIENT_ID and read.kind is HandshakeKind.CLIENT_ID:
            self.client_id = read.value
            self._awaiting = _Awaiting.NOTHING
            return b""
        if awaiting is _Awaiting.CHALLENGE and read.kind is HandshakeKind.CHALLENGE:
            assert self.relay_key is not None
            response = answer(read.data, self._key.session_key(self.relay_key))
            self._awaiting = _Awaiting.PING
            return handshake_packet(HandshakeKind.CHALLENGE_RESPONSE, data=response) + handshake_packet(
                HandshakeKind.PING
            )
        if awaiting is _Awaiting.PING and read.kind is HandshakeKind.PING:
            self._awaiting = _Awaiting.NOTHING
            return b""
        name = read.kind.name.lower().replace("_", " ")
        raise HandshakeError(f"a {name} came where a {awaiting.value} was expected")

    def ending(self, is_orderly: bool) -> ClientError:
        """What it means that the connection ended now. Orderly: the relay closed it, between two packets."""
        if self._awaiting in (_Awaiting.RELAY_KEY, _Awaiting.CLIENT_ID):
            return ClosedDuringHandshakeError()
        # An orderly close here says that the relay has no such session; every other refusal is a reset, or ends within
        # a packet.
        if self._awaiting is _Awaiting.CHALLENGE and is_orderly:
            return SessionOverError()
        return RefusedError()

    def _receive_relay_key(self, read: HandshakePacket) -> bytes:
        try:
            received = PublicKey(read.data, "the relay's public key")
        except InvalidKeyError as error:
            raise HandshakeError(str(error)) from None
        if self.relay_key is not None and received != self.relay_key:
            raise WrongRelayKeyError(self.relay_key.compressed, received.compressed)
        self.relay_key = received
        if self._is_new:
            self._awaiting = _Awaiting.CLIENT_ID
            return b""
        assert self.client_id is not None
        self._awaiting = _Awaiting.CHALLENGE
        return handshake_packet(HandshakeKind.CLIENT_ID, self.client_id)
