"""The keys of clients that come back, by the C libraries that the relay needs as well: libsecp256k1 and libsodium."""

import ctypes
import functools
import hashlib
import hmac
import os

_NAME = b"VOLTLANE.NET"
_TAG, _NONCE = 16, 24


@functools.lru_cache(maxsize=None)
def _library(*names):
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError(f"none of these is there: {', '.join(names)}")


def _sodium():
    return _library("libsodium.so.23", "libsodium.so.26", "libsodium.so")


@functools.lru_cache(maxsize=None)
def _curve():
    """The library, and a context of it."""
    library = _library("libsecp256k1.so.1", "libsecp256k1.so.2", "libsecp256k1.so")
    library.secp256k1_context_create.restype = ctypes.c_void_p
    # SECP256K1_CONTEXT_SIGN | VERIFY, which every version takes.
    return library, ctypes.c_void_p(library.secp256k1_context_create(ctypes.c_uint(0x301)))


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
def _copy_x(output, x, _y, _data):
    ctypes.memmove(output, x, 32)
    return 1


class Secret:
    """A client's secret key."""

    def __init__(self, secret=None):
        self.secret = secret or os.urandom(32)
        library, context = _curve()
        point = ctypes.create_string_buffer(64)
        if not library.secp256k1_ec_pubkey_create(context, point, self.secret):
            raise ValueError("no secret key of the curve")
        compressed, length = ctypes.create_string_buffer(33), ctypes.c_size_t(33)
        library.secp256k1_ec_pubkey_serialize(context, compressed, ctypes.byref(length), point, ctypes.c_uint(258))
        self.point = compressed.raw

    @functools.lru_cache(maxsize=16)
    def session_key(self, relay_point):
        """HKDF-SHA256 of the x coordinate that both keys have in common."""
        library, context = _curve()
        point = ctypes.create_string_buffer(64)
        if not library.secp256k1_ec_pubkey_parse(context, point, relay_point, ctypes.c_size_t(len(relay_point))):
            raise ValueError("no point of the curve")
        shared = ctypes.create_string_buffer(32)
        if not library.secp256k1_ecdh(context, shared, point, self.secret, _copy_x, None):
            raise ValueError("no shared point")
        return derive(shared.raw)


def derive(shared):
    extracted = hmac.new(_NAME, shared, hashlib.sha256).digest()
    return hmac.new(extracted, _NAME + b"\x01", hashlib.sha256).digest()


def seal(key, plain, nonce=None):
    """Ciphertext, tag, nonce."""
    nonce = nonce or os.urandom(_NONCE)
    box = ctypes.create_string_buffer(len(plain) + _TAG)
    _sodium().crypto_aead_xchacha20poly1305_ietf_encrypt(
        box, None, plain, ctypes.c_ulonglong(len(plain)), None, ctypes.c_ulonglong(0), None, nonce, key)
    return box.raw + nonce


def open_box(key, box):
    """What is in it; None where it does not open."""
    sealed, nonce = box[:-_NONCE], box[-_NONCE:]
    plain = ctypes.create_string_buffer(max(len(sealed) - _TAG, 1))
    failed = _sodium().crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, None, None, sealed, ctypes.c_ulonglong(len(sealed)), None, ctypes.c_ulonglong(0), nonce, key)
    return None if failed else plain.raw[:len(sealed) - _TAG]
