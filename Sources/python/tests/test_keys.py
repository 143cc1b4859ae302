from __future__ import annotations

import pytest
from support import vector

from voltlane import InvalidChallengeError, InvalidKeyError
from voltlane.keys import PublicKey, SecretKey, answer, hkdf, open_box, seal


def test_keys_are_those_of_the_vectors() -> None:
    for side in ("server", "client"):
        key = SecretKey(vector("keys", f"{side}_secret"))
        compressed = vector("keys", f"{side}_public_compressed")
        assert key.public == compressed
        assert key.to_bytes() == vector("keys", f"{side}_secret")
        assert PublicKey(compressed) == PublicKey(vector("keys", f"{side}_public_uncompressed"))
        assert PublicKey(vector("keys", f"{side}_public_uncompressed")).compressed == compressed


def test_the_session_key_is_the_same_on_both_sides() -> None:
    server, client = (SecretKey(vector("keys", f"{side}_secret")) for side in ("server", "client"))
    expected = vector("ecdh", "session_key")
    assert server.session_key(PublicKey(client.public)) == expected
    assert client.session_key(PublicKey(server.public)) == expected
    assert hkdf(vector("ecdh", "shared_x")) == expected


def test_sealed_boxes() -> None:
    key = vector("ecdh", "session_key")
    plain = vector("challenge", "plain")
    for nonce, box in (("nonce", "box"), ("response_nonce", "response_box")):
        assert seal(plain, key, vector("challenge", nonce)) == vector("challenge", box)
        assert open_box(vector("challenge", box), key) == plain


def test_an_answer_is_sealed_under_a_nonce_of_its_own() -> None:
    key = vector("ecdh", "session_key")
    challenge = vector("challenge", "box")
    answers = [answer(challenge, key) for _ in range(2)]
    assert {open_box(each, key) for each in answers} == {vector("challenge", "plain")}
    assert len({each[-24:] for each in (*answers, challenge)}) == 3


@pytest.mark.parametrize("place", [0, 31, 32, 47, 48, 71])
def test_a_box_that_was_changed_does_not_open(place: int) -> None:
    box = bytearray(vector("challenge", "box"))
    box[place] ^= 1
    with pytest.raises(InvalidChallengeError, match="cannot be opened"):
        open_box(bytes(box), vector("ecdh", "session_key"))


@pytest.mark.parametrize("count", [0, 39, 40, 71])
def test_a_box_that_is_too_short_does_not_open(count: int) -> None:
    with pytest.raises(InvalidChallengeError):
        open_box(vector("challenge", "box")[:count], vector("ecdh", "session_key"))


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (bytes(32), "secret_key: not a number from 1"),
        (b"\xff" * 32, "secret_key: not a number from 1"),
        (
            bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
            "below the order",
        ),
        (bytes(31), "secret_key: 31 bytes; 32 expected"),
    ],
)
def test_secret_keys_that_are_none(secret: bytes, problem: str) -> None:
    with pytest.raises(InvalidKeyError, match=problem):
        SecretKey(secret)


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        (b"\x02" + b"\xff" * 32, "is no point of secp256k1"),
        # x = 5 is on no point.
        (b"\x02" + bytes(31) + b"\x05", "is no point of secp256k1"),
        (b"\x04" + bytes(63) + b"\x01", "is no point of secp256k1"),
        # A hybrid form, which OpenSSL would take.
        (b"\x06" + bytes(64), "beginning with 06"),
        (b"\x00", "relay_key: public key: 1 bytes"),
        (b"", "empty"),
    ],
)
def test_points_that_are_none(point: bytes, problem: str) -> None:
    with pytest.raises(InvalidKeyError, match=problem):
        PublicKey(point, "relay_key")


def test_keys_are_made_anew() -> None:
    assert SecretKey.generate().to_bytes() != SecretKey.generate().to_bytes()
