from __future__ import annotations

import pytest
from support import vector

from voltlane import (
    ClosedDuringHandshakeError,
    HandshakeError,
    InvalidChallengeError,
    RefusedError,
    SessionOverError,
    WrongRelayKeyError,
)
from voltlane.handshake import Handshake
from voltlane.keys import PublicKey, SecretKey, open_box
from voltlane.wire import HandshakeKind, handshake_packet, read_handshake_packet

ID = 0x0123456789ABCDEF


def key() -> SecretKey:
    return SecretKey(vector("keys", "client_secret"))


def relay_key() -> PublicKey:
    return PublicKey(vector("keys", "server_public_compressed"))


def returning() -> Handshake:
    return Handshake(key(), relay_key(), ID)


def test_a_new_client() -> None:
    handshake = Handshake(key())
    public = handshake_packet(HandshakeKind.PUBLIC_KEY, data=vector("keys", "client_public_compressed"))
    assert handshake.opening == vector("framed", "version_2") + public
    assert handshake.receive(vector("packets", "server_pubkey")) == b""
    assert not handshake.is_done
    assert handshake.receive(vector("packets", "client_id_0x0123456789abcdef")) == b""
    assert handshake.is_done
    assert handshake.client_id == ID
    assert handshake.relay_key == relay_key()


def test_a_client_that_comes_back() -> None:
    handshake = returning()
    assert handshake.opening == vector("framed", "version_2")
    assert handshake.receive(vector("packets", "server_pubkey"))[4:] == vector(
        "packets", "client_id_0x0123456789abcdef"
    )
    answer = handshake.receive(vector("packets", "challenge"))
    response, ping = answer[:78], answer[78:]
    assert ping == bytes.fromhex("0100000000")
    box = read_handshake_packet(response[4:]).data
    assert open_box(box, vector("ecdh", "session_key")) == vector("challenge", "plain")
    assert box[-24:] != vector("challenge", "nonce")
    assert not handshake.is_done
    assert handshake.receive(b"\x00") == b""
    assert handshake.is_done


def test_another_relay_hears_no_id() -> None:
    other = SecretKey.generate().public
    for handshake in (returning(), Handshake(key(), relay_key())):
        with pytest.raises(WrongRelayKeyError, match="not 0289512662b5") as caught:
            handshake.receive(handshake_packet(HandshakeKind.PUBLIC_KEY, data=other)[4:])
        assert (caught.value.expected, caught.value.received) == (relay_key().compressed, other)


def test_an_uncompressed_relay_key_is_the_same_key() -> None:
    packet = handshake_packet(HandshakeKind.PUBLIC_KEY, data=vector("keys", "server_public_uncompressed"))[4:]
    assert returning().receive(packet)[4:] == vector("packets", "client_id_0x0123456789abcdef")


def test_what_an_end_means_to_a_new_client() -> None:
    handshake = Handshake(key())
    for is_orderly in (True, False):
        assert isinstance(handshake.ending(is_orderly), ClosedDuringHandshakeError)
    handshake.receive(vector("packets", "server_pubkey"))
    for is_orderly in (True, False):
        assert isinstance(handshake.ending(is_orderly), ClosedDuringHandshakeError)


def test_what_an_end_means_to_one_that_comes_back() -> None:
    handshake = returning()
    assert isinstance(handshake.ending(True), ClosedDuringHandshakeError)
    handshake.receive(vector("packets", "server_pubkey"))
    assert isinstance(handshake.ending(True), SessionOverError)
    assert isinstance(handshake.ending(False), RefusedError)
    handshake.receive(vector("packets", "challenge"))
    assert isinstance(handshake.ending(True), RefusedError)
    assert isinstance(handshake.ending(False), RefusedError)


def test_a_challenge_of_another_key() -> None:
    handshake = Handshake(SecretKey.generate(), relay_key(), ID)
    handshake.receive(vector("packets", "server_pubkey"))
    with pytest.raises(InvalidChallengeError):
        handshake.receive(vector("packets", "challenge"))


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        ("00", "a ping came where a relay key was expected"),
        ("03fa", "a client id came where a relay key was expected"),
        ("09", "kind: 9 is unknown"),
        ("0221" + "02" + "ff" * 32, "is no point of secp256k1"),
        ("", "kind: missing"),
    ],
)
def test_what_is_no_relay(packet: str, problem: str) -> None:
    with pytest.raises(HandshakeError, match=problem):
        Handshake(key()).receive(bytes.fromhex(packet))


def test_the_ping_is_the_first_thing_after_the_challenge() -> None:
    handshake = returning()
    handshake.receive(vector("packets", "server_pubkey"))
    handshake.receive(vector("packets", "challenge"))
    with pytest.raises(HandshakeError, match="a challenge came where a ping was expected"):
        handshake.receive(vector("packets", "challenge"))
