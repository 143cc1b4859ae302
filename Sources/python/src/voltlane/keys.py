"""Keys, and the sealed box with which a client shows that it has one.

    shared = x coordinate, 32 bytes big-endian, of (own secret key * other public key)      on secp256k1
    key    = HKDF-SHA256(input: shared, salt: "VOLTLANE.NET", info: "VOLTLANE.NET", length: 32)
    box    = XChaCha20-Poly1305 (IETF, no associated data) ciphertext | 16-byte tag | 24-byte nonce

The curve is that of ``cryptography`` and the box that of PyNaCl. They are loaded when a key is first needed: a backend
does without them. Python cannot wipe memory: a secret key stays in the process until its memory is used again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any

from .errors import InvalidChallengeError, InvalidKeyError, WireError
from .wire import check_point

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

_LABEL = b"VOLTLANE.NET"
_NONCE = 24

#: The order of secp256k1: a secret key is a number from 1 below this.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class MissingCryptographyError(ImportError):
    """The packages that a client's handshake needs are not installed."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"a client needs {missing}, which is not installed here: pip install 'voltlane[client]'")


def _curve() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise MissingCryptographyError("cryptography") from None
    return ec


def _box() -> Any:
    try:
        from nacl import bindings
    except ImportError:
        raise MissingCryptographyError("PyNaCl") from None
    return bindings


class PublicKey:
    """A point of secp256k1."""

    __slots__ = ("_key", "compressed")

    def __init__(self, sec1: bytes, field: str = "public key") -> None:
        ec = _curve()
        try:
            check_point(sec1)
            self._key: EllipticCurvePublicKey = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), sec1)
        except WireError as error:
            raise InvalidKeyError(f"{field}: {error}") from None
        except ValueError:
            raise InvalidKeyError(f"{field}: {sec1.hex()} is no point of secp256k1") from None
        #: 33 bytes, SEC1 compressed.
        self.compressed = _compressed(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.compressed == other.compressed

    def __hash__(self) -> int:
        return hash(self.compressed)


class SecretKey:
    """A secret key of secp256k1."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: bytes, field: str = "secret_key") -> None:
        if len(secret) != 32:
            raise InvalidKeyError(f"{field}: {len(secret)} bytes; 32 expected")
        number = int.from_bytes(secret, "big")
        if not 0 < number < _ORDER:
            raise InvalidKeyError(f"{field}: not a number from 1 below the order of secp256k1")
        ec = _curve()
        self._key: EllipticCurvePrivateKey = ec.derive_private_key(number, ec.SECP256K1())
        #: The public key, 33 bytes, SEC1 compressed.
        self.public = _compressed(self._key.public_key())

    @classmethod
    def generate(cls) -> SecretKey:
        """A new key, from the system's random numbers."""
        while True:
            secret = os.urandom(32)
            # All but one in 2^127 are keys.
            if 0 < int.from_bytes(secret, "big") < _ORDER:
                return cls(secret)

    def to_bytes(self) -> bytes:
        """The 32 bytes of the key. They are secret."""
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def session_key(self, other: PublicKey) -> bytes:
        """The key of the boxes between the two, 32 bytes."""
        # This exchange gives the x coordinate as it is; libsecp256k1's default would hash it.
        return hkdf(self._key.exchange(_curve().ECDH(), other._key))


def _compressed(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point: bytes = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return point


def hkdf(shared: bytes) -> bytes:
    """HKDF-SHA256 of a shared secret, one block long."""
    extracted = hmac.new(_LABEL, shared, hashlib.sha256).digest()
    return hmac.new(extracted, _LABEL + b"\x01", hashlib.sha256).digest()


def seal(plain: bytes, key: bytes, nonce: bytes) -> bytes:
    """A sealed box: the nonce stands last."""
    box: bytes = _box().crypto_aead_xchacha20poly1305_ietf_encrypt(plain, None, nonce, key)
    return box + nonce


def open_box(box: bytes, key: bytes) -> bytes:
    """What is in a sealed box."""
    bindings = _box()
    if len(box) < _NONCE + 16:
        raise InvalidChallengeError
    try:
        plain: bytes = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box[:-_NONCE], None, box[-_NONCE:], key)
    except Exception as error:  # PyNaCl's CryptoError, whose module is loaded only here.
        raise InvalidChallengeError from error
    return plain


def answer(challenge: bytes, key: bytes) -> bytes:
    """The same bytes as in the challenge, sealed anew under a fresh nonce."""
    return seal(open_box(challenge, key), key, os.urandom(_NONCE))
