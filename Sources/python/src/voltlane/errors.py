"""What can go wrong. Everything derives from :class:`VoltlaneError`."""

from __future__ import annotations

import os
import socket


class VoltlaneError(Exception):
    """The base of every error of this package, save wrong arguments: those are ``TypeError`` and ``ValueError``."""


class WireError(VoltlaneError):
    """Bytes that are not what the protocol says."""


class OversizedPacketError(WireError):
    """A size above the maximum: the stream can no longer be trusted."""

    def __init__(self, size: int, maximum: int) -> None:
        super().__init__(f"a packet of {size} bytes was announced; at most {maximum} are allowed")
        self.size = size
        self.maximum = maximum


class PacketTooLargeError(VoltlaneError):
    """A packet to send that is larger than allowed. It was not sent, and everything goes on."""

    def __init__(self, size: int, maximum: int) -> None:
        super().__init__(f"packet: {size} bytes are too many; at most {maximum} are allowed (max_packet_size)")
        self.size = size
        self.maximum = maximum


# --- Clients


class ClientError(VoltlaneError):
    """What can go wrong for a client."""


class UnreachableError(ClientError):
    """Nothing listens there, no way leads there, or the name does not resolve."""

    def __init__(self, endpoint: object, reason: str) -> None:
        super().__init__(f"cannot reach {endpoint}: {reason}")
        self.reason = reason


class ConnectTimeoutError(ClientError):
    """The relay was not reached, or the handshake not done, within ``connect_timeout``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer from the relay within {seconds:g} s (connect_timeout)")
        self.seconds = seconds


class ClosedDuringHandshakeError(ClientError):
    """The relay took the connection and ended it before the client said who it is.

    The relay is full, refuses this address, is being stopped, or takes nobody in while its backend is lost.
    """

    def __init__(self) -> None:
        super().__init__(
            "the relay refused the connection: it is full, refuses this address, is being stopped, or has lost its "
            "backend"
        )


class HandshakeError(ClientError):
    """What answers there breaks the protocol: it is hardly a relay."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no relay answers there: {reason}")
        self.reason = reason


class InvalidKeyError(ClientError):
    """Bytes that are no key of secp256k1; the text names whose."""


class WrongRelayKeyError(ClientError):
    """The relay shows another key than the one that is known: another relay answers, or this one has a new key.

    The client told it nothing. Whether to trust it is for a person to decide; the session may still exist at the old
    relay.
    """

    def __init__(self, expected: bytes, received: bytes) -> None:
        super().__init__(
            f"relay_key: the relay's key is {received.hex()}, not {expected.hex()} as expected: another relay answers "
            "there, or this one has a new key"
        )
        self.expected = expected
        self.received = received


class SessionOverError(ClientError):
    """The relay has no such session, and has said so twice."""

    def __init__(self) -> None:
        super().__init__(
            "the session is over: the relay or its backend ended it, the relay was restarted, or the client was away "
            "too long"
        )


class RefusedError(ClientError):
    """The relay did not take the client back this time. The session may live on."""

    def __init__(self) -> None:
        super().__init__("the relay refused to take the client back this time")


class InvalidChallengeError(ClientError):
    """The challenge cannot be opened with the session's key."""

    def __init__(self) -> None:
        super().__init__(
            "the relay's challenge cannot be opened: the session is another client's, or the relay does not hold the "
            "secret of the key that it shows"
        )


class SessionSharedError(ClientError):
    """Another process uses the same session: each takes it from the other whenever it connects.

    A client that notices this waits longer each time before it takes the session back.
    """

    def __init__(self, takeovers: int) -> None:
        super().__init__(
            f"the session was taken over {takeovers} times in a row: another process uses the same saved session; "
            "give each process a session of its own"
        )
        self.takeovers = takeovers


class GaveUpError(ClientError):
    """``give_up_after`` has passed; ``last`` is what the last attempt came to. The session may live on."""

    def __init__(self, seconds: float, last: BaseException | None) -> None:
        super().__init__(f"gave up after {seconds:g} s (give_up_after): {last}")
        self.seconds = seconds
        self.last = last


class ConnectionLostError(ClientError):
    """The connection ended otherwise than by the relay closing it between two packets."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the connection to the relay was lost: {reason}")
        self.reason = reason


class RelayPacketTooLargeError(ConnectionLostError):
    """The relay sent a packet that is larger than ``max_packet_size``. A client does not come back from that."""

    def __init__(self, error: OversizedPacketError) -> None:
        super().__init__(f"{error} (max_packet_size)")
        self.size = error.size
        self.maximum = error.maximum


class ClosedError(ClientError):
    """The client is closed, its session over, or its sending side finished."""

    def __init__(self) -> None:
        super().__init__("the client is closed")


class SessionStoreError(ClientError):
    """A saved session that cannot be read, written or used; the text names the file and the field."""


class SessionInUseError(SessionStoreError):
    """Another process on this machine uses the saved session."""


# --- Backends


class BackendError(VoltlaneError):
    """What can go wrong for a backend."""


class CannotListenError(BackendError):
    """The address is taken or not allowed, or its name does not resolve."""

    def __init__(self, endpoint: object, reason: str) -> None:
        super().__init__(f"cannot listen on {endpoint}: {reason}")
        self.reason = reason


class NotConnectedError(BackendError):
    """No relay is connected, or it left before the packet was queued. The packet was dropped."""

    def __init__(self) -> None:
        super().__init__("no relay is connected")


def describe(error: BaseException) -> str:
    """The system's words for an error, without Python's decoration."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    # asyncio puts words of its own into strerror; the errors of name resolution have numbers of their own.
    if error.errno is not None and error.errno > 0 and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
