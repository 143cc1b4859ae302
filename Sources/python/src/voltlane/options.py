"""How a client connects, comes back, and how much it holds. Times are seconds, sizes bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .limits import DEFAULT_MAX_PACKET_SIZE
from .wire import check_max_packet_size


def _check_time(field: str, value: float | None, *, zero: bool = False) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field}: {type(value).__name__} given; a number of seconds expected")
    if not (value >= 0 if zero else value > 0) or math.isinf(value):
        raise ValueError(f"{field}: {value}; {'at least 0' if zero else 'more than 0'} seconds expected")


def _check_size(field: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{field}: {value}; at least 1 byte expected")


@dataclass(frozen=True)
class Retry:
    """Attempts follow one another with delays between them, which double from the first to the last.

    Each delay is random, between zero and its full length, so that the clients of a relay do not all return at once.
    Delays start small again after a connection has lived for 10 s.
    """

    #: The longest delay before the first attempt.
    first_delay: float = 0.1
    #: The longest delay before any attempt.
    last_delay: float = 10.0
    #: How long after losing the connection the client gives up; None: never. A relay forgets a client after its
    #: ``--stale-timeout``, 5 minutes by default.
    give_up_after: float | None = 300.0

    def __post_init__(self) -> None:
        _check_time("first_delay", self.first_delay, zero=True)
        _check_time("last_delay", self.last_delay, zero=True)
        _check_time("give_up_after", self.give_up_after)
        if self.last_delay < self.first_delay:
            raise ValueError(f"last_delay: {self.last_delay}; at least first_delay, {self.first_delay}, expected")


@dataclass(frozen=True)
class Heartbeat:
    """A packet of the application's own that is sent when the application sends nothing else.

    Version 2 of the protocol has no heartbeat, so **the backend sees this packet** and has to recognise it. Sending
    something is what detects a dead network quickly, through ``user_timeout``.
    """

    #: What is sent.
    packet: bytes
    #: It is sent after this long without anything else being sent.
    every: float = 10.0
    #: The connection counts as lost if nothing at all arrives for this long after a heartbeat. Only for backends that
    #: answer. None: silence is not a loss.
    answer_within: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.packet, bytes):
            raise TypeError(f"heartbeat packet: {type(self.packet).__name__} given; bytes expected")
        _check_time("heartbeat every", self.every)
        _check_time("heartbeat answer_within", self.answer_within)


@dataclass(frozen=True)
class ClientOptions:
    """How a client connects, comes back, and how much it holds."""

    #: The time for resolving the name, reaching the relay and the handshake together. Each attempt has this long.
    connect_timeout: float = 10.0
    #: The largest packet either way: the relay's ``--max-packet-size``.
    max_packet_size: int = DEFAULT_MAX_PACKET_SIZE
    #: The connection is not read while packets of this many bytes wait to be taken; each counts its data and 128 bytes.
    receive_limit: int = 1 << 20
    #: ``send`` waits while packets of this many bytes wait to be sent; each counts its data and 128 bytes. The same
    #: limit holds while the connection is away.
    send_limit: int = 1 << 20
    #: The relay's public key, if it is known beforehand: a SEC1 point of 33 bytes, as in ``Client.relay_key``. None:
    #: any key is accepted on the first connection, and required on the following ones.
    relay_key: bytes | None = None
    #: How the client reconnects; None: it does not, and its packets end with the connection.
    reconnection: Retry | None = Retry()
    #: How long the relay may be silent before the kernel probes it; the connection is lost after about twice that.
    #: Without it a client that only receives would never notice a dead network. None: off.
    keepalive: float | None = 30.0
    #: How long what was sent may stay unacknowledged (``TCP_USER_TIMEOUT``, Linux). None: the system's limit, about 15
    #: minutes.
    user_timeout: float | None = 30.0
    #: A packet of the application's own that is sent when nothing else is. None: there is none.
    heartbeat: Heartbeat | None = None

    def __post_init__(self) -> None:
        _check_time("connect_timeout", self.connect_timeout)
        check_max_packet_size(self.max_packet_size)
        _check_size("receive_limit", self.receive_limit)
        _check_size("send_limit", self.send_limit)
        _check_time("keepalive", self.keepalive)
        _check_time("user_timeout", self.user_timeout)
        if self.relay_key is not None and not isinstance(self.relay_key, bytes):
            raise TypeError(f"relay_key: {type(self.relay_key).__name__} given; bytes expected")
        if self.heartbeat is not None and len(self.heartbeat.packet) > self.max_packet_size:
            raise ValueError(f"heartbeat packet: {len(self.heartbeat.packet)} bytes are more than max_packet_size")
