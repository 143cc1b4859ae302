"""The bytes of the protocol: packets, varints, handshake packets and tagged packets. No I/O, nothing but Python.

    u32 size | size bytes of data                                  a packet, on both links
    u32 size | u64 client id | u8 flag | data                      a tagged packet, on the firehose
    u32 size | varint kind | fields                                a handshake packet

All integers are little-endian. The splitters take bytes as they arrive, in pieces of any size, and give whole packets;
a declared size takes no memory before its bytes have come.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from struct import error as struct_error
from typing import NamedTuple, Union

from .errors import OversizedPacketError, PacketTooLargeError, WireError
from .limits import (
    DEFAULT_MAX_PACKET_SIZE,
    LARGEST_MAX_PACKET_SIZE,
    MAX_HANDSHAKE_PACKET,
    MAX_MULTICAST_IDS,
    SIZE_PREFIX,
    TAG,
)

#: What can be sent as a packet. Mutable kinds are copied.
Buffer = Union[bytes, bytearray, memoryview]

MAX_ID = (1 << 64) - 1

_U16 = Struct("<H")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_TAGGED = Struct("<IQB")
_MULTICAST = Struct("<IQBBI")
# size | client id, flag | kind, count
_MULTICAST_FIXED = 5


# --- Arguments


def packet_bytes(packet: Buffer, maximum: int) -> bytes:
    """The packet as bytes, where it is one and not too large."""
    if type(packet) is not bytes:
        if not isinstance(packet, (bytes, bytearray, memoryview)):
            raise TypeError(f"packet: {type(packet).__name__} given; bytes, bytearray or memoryview expected")
        packet = bytes(packet)
    if len(packet) > maximum:
        raise PacketTooLargeError(len(packet), maximum)
    return packet


def check_client_id(client_id: object) -> None:
    """Raises where it is no client id."""
    if not isinstance(client_id, int):
        raise TypeError(f"client_id: {type(client_id).__name__} given; int expected")
    if not 0 <= client_id <= MAX_ID:
        raise ValueError(f"client_id: {client_id} does not fit in 64 bits")


def check_max_packet_size(size: int) -> None:
    """Raises where it is no maximum for packets."""
    if not 1 <= size <= LARGEST_MAX_PACKET_SIZE:
        raise ValueError(f"max_packet_size: {size}; 1 to {LARGEST_MAX_PACKET_SIZE} bytes are allowed")


def client_id_text(client_id: int) -> str:
    """An id as people write it, and as the relay's log does.

    >>> client_id_text(0x0123456789ABCDEF)
    '0123456789abcdef'
    """
    check_client_id(client_id)
    return f"{client_id:016x}"


# --- Packets


def framed(packet: Buffer, maximum: int = DEFAULT_MAX_PACKET_SIZE) -> bytes:
    """A packet behind its size.

    >>> framed(b"hello").hex()
    '0500000068656c6c6f'
    """
    data = packet_bytes(packet, maximum)
    return _U32.pack(len(data)) + data


class PacketSplitter:
    """Cuts a stream of bytes into packets.

    >>> splitter = PacketSplitter()
    >>> splitter.feed(bytes.fromhex("0500000068656c6c6f 00000000 0300"))
    [b'hello', b'']
    >>> splitter.is_within_packet
    True

    A size above ``maximum`` ends it: :attr:`error` is set, and nothing more is taken. The packets before it are given.
    """

    __slots__ = ("_held", "_need", "error", "maximum")

    def __init__(self, maximum: int = DEFAULT_MAX_PACKET_SIZE) -> None:
        #: The largest packet, in bytes. It may be changed between two calls of :meth:`feed`.
        self.maximum = maximum
        #: The size that was refused, if one was.
        self.error: OversizedPacketError | None = None
        # What has come of an unfinished packet, with its size, and how much of it there must be to go on.
        self._held = bytearray()
        self._need = SIZE_PREFIX

    @property
    def is_within_packet(self) -> bool:
        """Whether the stream would break off within a packet if it ended now."""
        return bool(self._held)

    def take_rest(self) -> bytes:
        """Gives back what has come of an unfinished packet, and forgets it."""
        rest = bytes(self._held)
        self._held.clear()
        self._need = SIZE_PREFIX
        return rest

    def feed(self, data: bytes, limit: int = -1) -> list[bytes]:
        """Takes the next bytes of the stream, and gives the packets that they end.

        At most ``limit`` packets where that is not negative; what lies behind them is kept for the next call.
        """
        packets: list[bytes] = []
        if self.error is not None:
            return packets
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return packets
            data = bytes(self._held)
            self._held.clear()
        unpack = _U32.unpack_from
        maximum = self.maximum
        position = 0
        end = len(data)
        need = SIZE_PREFIX
        while end - position >= SIZE_PREFIX and len(packets) != limit:
            size: int = unpack(data, position)[0]
            if size > maximum:
                self.error = OversizedPacketError(size, maximum)
                return packets
            after = position + SIZE_PREFIX + size
            if after > end:
                need = SIZE_PREFIX + size
                break
            packets.append(data[position + SIZE_PREFIX : after])
            position = after
        if position < end:
            self._held += memoryview(data)[position:]
        self._need = need
        return packets


# --- Varints


def varint(value: int) -> bytes:
    """The shortest form of a value.

    >>> varint(250).hex(), varint(251).hex(), varint(65536).hex()
    ('fa', 'fbfb00', 'fc00000100')
    """
    if not 0 <= value <= MAX_ID:
        raise ValueError(f"varint: {value} does not fit in 64 bits")
    if value < 251:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfb" + _U16.pack(value)
    if value <= 0xFFFFFFFF:
        return b"\xfc" + _U32.pack(value)
    return b"\xfd" + _U64.pack(value)


_VARINT_FORMS = {251: _U16, 252: _U32, 253: _U64}


def read_varint(data: bytes, position: int = 0, largest: int = MAX_ID, field: str = "varint") -> tuple[int, int]:
    """A value and where it ends. Longer forms than needed are accepted."""
    if position >= len(data):
        raise WireError(f"{field}: missing")
    first = data[position]
    if first < 251:
        return first, position + 1
    form = _VARINT_FORMS.get(first)
    if form is None or (form is _U64 and largest < MAX_ID):
        raise WireError(f"{field}: a varint that begins with {first} is not allowed here")
    if position + 1 + form.size > len(data):
        raise WireError(f"{field}: cut short")
    value: int = form.unpack_from(data, position + 1)[0]
    return value, position + 1 + form.size


# --- Handshake packets


class HandshakeKind(IntEnum):
    """What a handshake packet says."""

    PING = 0
    PROTOCOL_VERSION = 1
    PUBLIC_KEY = 2
    CLIENT_ID = 3
    CHALLENGE = 4
    CHALLENGE_RESPONSE = 5


class HandshakePacket(NamedTuple):
    """A handshake packet that was read. Which field counts depends on its kind."""

    kind: HandshakeKind
    #: The version or the client id.
    value: int = 0
    #: The key, or the sealed box.
    data: bytes = b""


#: A sealed box of 32 bytes: ciphertext, tag and nonce.
CHALLENGE_BOX = 32 + 16 + 24

_U32_MAX = 0xFFFFFFFF
_NUMBERS = {HandshakeKind.PROTOCOL_VERSION: _U32_MAX, HandshakeKind.CLIENT_ID: MAX_ID}


def handshake_packet(kind: HandshakeKind, value: int = 0, data: bytes = b"") -> bytes:
    """A handshake packet behind its size."""
    packet = varint(kind)
    if kind in _NUMBERS:
        packet += varint(value)
    elif kind is not HandshakeKind.PING:
        packet += varint(len(data)) + data
    return framed(packet, MAX_HANDSHAKE_PACKET)


def read_handshake_packet(packet: bytes) -> HandshakePacket:
    """Reads the data of a handshake packet. Bytes behind the fields are ignored."""
    if len(packet) > MAX_HANDSHAKE_PACKET:
        raise WireError(f"a handshake packet of {len(packet)} bytes; at most {MAX_HANDSHAKE_PACKET} are allowed")
    number, position = read_varint(packet, 0, _U32_MAX, "kind")
    try:
        kind = HandshakeKind(number)
    except ValueError:
        raise WireError(f"kind: {number} is unknown") from None
    if kind is HandshakeKind.PING:
        return HandshakePacket(kind)
    name = kind.name.lower().replace("_", " ")
    largest = _NUMBERS.get(kind)
    if largest is not None:
        value, _ = read_varint(packet, position, largest, name)
        return HandshakePacket(kind, value)
    count, position = read_varint(packet, position, MAX_ID, name)
    if count > len(packet) - position:
        raise WireError(f"{name}: {count} bytes announced, {len(packet) - position} are there")
    data = packet[position : position + count]
    if kind is HandshakeKind.PUBLIC_KEY:
        check_point(data)
    elif kind is HandshakeKind.CHALLENGE_RESPONSE and count != CHALLENGE_BOX:
        raise WireError(f"{name}: {count} bytes; a sealed box has {CHALLENGE_BOX}")
    return HandshakePacket(kind, data=data)


def check_point(data: bytes) -> None:
    """Raises where the length and the first byte are not those of a SEC1 point. Says nothing of the curve."""
    if not ((len(data) == 33 and data[0] in (2, 3)) or (len(data) == 65 and data[0] == 4)):
        first = f"beginning with {data[0]:02x}" if data else "empty"
        raise WireError(f"public key: {len(data)} bytes, {first}; 33 with 02 or 03, or 65 with 04 expected")


# --- Tagged packets


class Flag(IntEnum):
    """What a tagged packet is about."""

    #: The client's packet, unchanged. Both directions.
    DATA = 0
    #: Relay to backend: the session is over, with the reason.
    FAILURE = 1
    #: Backend to relay: end the session.
    KICK = 2
    #: Relay to backend: the client is back, or is announced on a new connection.
    RECONNECTION = 3
    #: Relay to backend (with ``--away on``): the client has lost its connection.
    AWAY = 4
    #: Backend to relay: a packet that is worth nothing later.
    VOLATILE = 5
    #: Backend to relay: a packet for many.
    MULTICAST = 6
    #: Relay to backend (with ``--addresses on``): where the client connects from.
    ADDRESS = 7


_FROM_RELAY = frozenset((Flag.DATA, Flag.FAILURE, Flag.RECONNECTION, Flag.AWAY, Flag.ADDRESS))


def tagged(client_id: int, flag: int, data: Buffer = b"", maximum: int = DEFAULT_MAX_PACKET_SIZE) -> bytes:
    """A tagged packet behind its size.

    >>> tagged(7, Flag.KICK).hex()
    '09000000070000000000000002'
    """
    data = packet_bytes(data, maximum)
    try:
        return _TAGGED.pack(len(data) + TAG, client_id, flag) + data
    except struct_error:
        check_client_id(client_id)
        raise ValueError(f"flag: {flag} does not fit in a byte") from None


def multicast(
    client_ids: Iterable[int], data: Buffer, volatile: bool = False, maximum: int = DEFAULT_MAX_PACKET_SIZE
) -> list[bytes]:
    """One packet for many clients, in as many tagged packets as its list of ids takes: one for each 65,536 ids.

    An id that stands twice gets the packet twice. Nothing is made for an empty list.

    >>> [packet.hex() for packet in multicast([7], b"hi")]
    ['18000000000000000000000006000100000007000000000000006869']
    """
    data = packet_bytes(data, maximum)
    ids = id_array(client_ids)
    packets = []
    for start in range(0, len(ids), MAX_MULTICAST_IDS):
        part = ids[start : start + MAX_MULTICAST_IDS]
        packets.append(_multicast(part, data, Flag.VOLATILE if volatile else Flag.DATA))
    return packets


def id_array(client_ids: Iterable[int]) -> array[int]:
    """Client ids as a list of machine integers. An ``array("Q")`` is taken as it is, which is the fastest."""
    if isinstance(client_ids, array) and client_ids.typecode == "Q":
        return client_ids
    ids = list(client_ids)
    try:
        return array("Q", ids)
    except (OverflowError, TypeError):
        for client_id in ids:
            check_client_id(client_id)
        raise


def _multicast(ids: array[int], data: bytes, kind: int) -> bytes:
    if sys.byteorder == "big":
        ids = ids[:]
        ids.byteswap()
    size = TAG + _MULTICAST_FIXED + 8 * len(ids) + len(data)
    return b"".join((_MULTICAST.pack(size, 0, Flag.MULTICAST, kind, len(ids)), ids.tobytes(), data))


Address = Union[IPv4Address, IPv6Address]
_ADDRESS_SIZES = {0: 0, 4: 4, 6: 16}


def read_address(data: bytes) -> tuple[Address | None, int]:
    """The data of an address packet: where a client connects from. None for a unix socket.

    >>> read_address(bytes.fromhex("04c000020750c3"))
    (IPv4Address('192.0.2.7'), 50000)
    """
    if not data:
        raise WireError("address: empty")
    count = _ADDRESS_SIZES.get(data[0])
    if count is None:
        raise WireError(f"address: the family {data[0]} is none of 0, 4 and 6")
    if len(data) != 1 + count + 2:
        raise WireError(f"address: {len(data)} bytes; {1 + count + 2} expected of family {data[0]}")
    port: int = _U16.unpack_from(data, 1 + count)[0]
    host = data[1 : 1 + count]
    if count == 0:
        return None, port
    return (IPv4Address(host) if count == 4 else IPv6Address(host)), port


def tagged_packet_problem(size: int, flag: int) -> str | None:
    """Why a backend skips a tagged packet of this size and flag; None where it does not.

    A packet shorter than its tag has no flag.
    """
    if size < TAG:
        return f"a tagged packet of {size} bytes is shorter than its tag of {TAG}"
    if flag in _FROM_RELAY:
        return None
    try:
        name = Flag(flag).name.lower()
    except ValueError:
        return f"a tagged packet has the unknown flag {flag}"
    return f"a tagged packet has the flag {name!r}, which a relay never sends"
