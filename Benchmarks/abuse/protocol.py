"""What a client says and hears: size-prefixed packets, and the handshake of protocol version 2."""

import struct

from . import cryptography

#: The key of clients that never come back: a valid point, whose secret nobody needs.
POINT = bytes.fromhex("0325b4d5c7373302ff6d40bea1fbdeb27660ac72376d6d1c730ec173b7752d362d")

PING, VERSION, PUBLIC_KEY, CLIENT_ID, CHALLENGE, RESPONSE = range(6)


def packet(data):
    return struct.pack("<I", len(data)) + data


def varint(value):
    if value < 251:
        return bytes([value])
    for tag, form, bits in ((251, "<BH", 16), (252, "<BI", 32), (253, "<BQ", 64)):
        if value < 1 << bits:
            return struct.pack(form, tag, value)
    raise ValueError(value)


def read_varint(data, offset):
    """The value, and where it ends."""
    first = data[offset]
    if first < 251:
        return first, offset + 1
    form = {251: "<H", 252: "<I", 253: "<Q"}[first]
    return struct.unpack_from(form, data, offset + 1)[0], offset + 1 + struct.calcsize(form)


def field(kind, data):
    return packet(bytes([kind]) + varint(len(data)) + data)


VERSION_PACKET = packet(bytes([VERSION, 2]))
PING_PACKET = packet(bytes([PING]))


def greeting(point=POINT):
    """All that a new client says."""
    return VERSION_PACKET + field(PUBLIC_KEY, point)


def returning(client):
    """What a client says first that comes back."""
    return VERSION_PACKET + packet(bytes([CLIENT_ID]) + varint(client))


class Frames:
    """Cuts what was received into packets."""

    def __init__(self):
        self.rest = bytearray()

    def append(self, data):
        self.rest += data

    def next(self):
        """The next whole packet's data; None where it has not come yet."""
        if len(self.rest) < 4:
            return None
        end = 4 + struct.unpack_from("<I", self.rest)[0]
        if len(self.rest) < end:
            return None
        data = bytes(self.rest[4:end])
        del self.rest[:end]
        return data


class Unexpected(Exception):
    """The relay said what nobody expects of it."""


def fields_of(data, kind):
    """The bytes or the number that a handshake packet of this kind carries."""
    if not data or data[0] != kind:
        raise Unexpected(f"{data.hex()} instead of a packet of kind {kind}")
    value, offset = read_varint(data, 1)
    return value if kind == CLIENT_ID else data[offset:offset + value]


def response(key, challenge, wrong=False):
    """What answers a challenge: response and ping. A wrong one is sealed well, but with other bytes."""
    plain = cryptography.open_box(key, challenge)
    if plain is None:
        raise Unexpected("a challenge that cannot be opened")
    if wrong:
        plain = bytes([plain[0] ^ 1]) + plain[1:]
    return field(RESPONSE, cryptography.seal(key, plain)) + PING_PACKET
