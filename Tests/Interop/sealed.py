"""XChaCha20-Poly1305 in plain Python: slow, and made independently of the libraries that it checks."""

import struct


def _rounds(state):
    x = list(state)

    def quarter(a, b, c, d):
        for target, source, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[target] = (x[target] + x[source]) & 0xFFFFFFFF
            value = x[turned] ^ x[target]
            x[turned] = (value << bits | value >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return x


_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def _hchacha(key, nonce):
    x = _rounds(_CONSTANTS + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))
    return struct.pack("<8I", *x[:4], *x[12:])


def _block(key, counter, nonce):
    state = _CONSTANTS + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce)
    mixed = _rounds(state)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(mixed, state)))


def _poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def _xor(key, nonce, text):
    stream = b"".join(_block(key, 1 + i, nonce) for i in range((len(text) + 63) // 64))
    return bytes(a ^ b for a, b in zip(text, stream))


def _tag(key, nonce, sealed):
    padding = bytes(-len(sealed) % 16)
    return _poly1305(_block(key, 0, nonce)[:32], sealed + padding + struct.pack("<QQ", 0, len(sealed)))


def seal(key, plain, nonce):
    """Ciphertext, tag and nonce, in this order."""
    subkey, short = _hchacha(key, nonce[:16]), bytes(4) + nonce[16:]
    sealed = _xor(subkey, short, plain)
    return sealed + _tag(subkey, short, sealed) + nonce


def open_box(key, box):
    """The plain text; None where the box cannot be opened."""
    sealed, tag, nonce = box[:-40], box[-40:-24], box[-24:]
    subkey, short = _hchacha(key, nonce[:16]), bytes(4) + nonce[16:]
    return _xor(subkey, short, sealed) if _tag(subkey, short, sealed) == tag else None
