from __future__ import annotations

from array import array
from ipaddress import IPv4Address, IPv6Address

import pytest
from support import vector, vectors

from voltlane import FirehoseParser, OversizedPacketError, PacketTooLargeError, WireError, client_id_text
from voltlane.events import Address, Announced, Away, Data, EndedClients, Event, Failure, Reconnection, RefusedPacket
from voltlane.wire import (
    Flag,
    HandshakeKind,
    HandshakePacket,
    PacketSplitter,
    framed,
    handshake_packet,
    multicast,
    read_handshake_packet,
    read_varint,
    tagged,
    varint,
)

ID = 0x1122334455667788
ID_OF_VECTOR = 0x0123456789ABCDEF


def events(data: bytes) -> list[Event]:
    """What a parser reads, without the announcement's end."""
    return [event for event in FirehoseParser().feed(data) if not isinstance(event, Announced)]


def test_varints_are_those_of_the_vectors() -> None:
    for value, form in vectors()["varint"]:
        assert varint(value).hex() == form
        assert read_varint(bytes.fromhex(form)) == (value, len(form) // 2)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_varint_has_64_bits(value: int) -> None:
    with pytest.raises(ValueError, match=f"varint: {value} does not fit in 64 bits"):
        varint(value)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("", "kind: missing"),
        ("fb01", "kind: cut short"),
        ("fc010000", "kind: cut short"),
        ("fe", "begins with 254"),
        ("ff", "begins with 255"),
        ("fd0000000000000000", "begins with 253"),
    ],
)
def test_forms_of_a_kind_that_are_refused(form: str, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        read_handshake_packet(bytes.fromhex(form))


def test_longer_forms_are_read() -> None:
    assert read_handshake_packet(bytes.fromhex("fb0100fc02000000")) == (HandshakeKind.PROTOCOL_VERSION, 2, b"")


@pytest.mark.parametrize(
    ("name", "kind", "value", "data"),
    [
        ("ping", HandshakeKind.PING, 0, None),
        ("version_2", HandshakeKind.PROTOCOL_VERSION, 2, None),
        ("version_300", HandshakeKind.PROTOCOL_VERSION, 300, None),
        ("client_id_7", HandshakeKind.CLIENT_ID, 7, None),
        ("client_id_0x0123456789abcdef", HandshakeKind.CLIENT_ID, ID_OF_VECTOR, None),
        ("server_pubkey", HandshakeKind.PUBLIC_KEY, 0, ("keys", "server_public_compressed")),
        ("client_pubkey_uncompressed", HandshakeKind.PUBLIC_KEY, 0, ("keys", "client_public_uncompressed")),
        ("challenge", HandshakeKind.CHALLENGE, 0, ("challenge", "box")),
        ("challenge_response", HandshakeKind.CHALLENGE_RESPONSE, 0, ("challenge", "response_box")),
    ],
)
def test_handshake_packets(name: str, kind: HandshakeKind, value: int, data: tuple[str, str] | None) -> None:
    content = b"" if data is None else vector(*data)
    packet = vector("packets", name)
    assert handshake_packet(kind, value, content)[4:] == packet
    assert read_handshake_packet(packet) == HandshakePacket(kind, value, content)
    assert read_handshake_packet(packet + b"rest") == HandshakePacket(kind, value, content)


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        ("06", "kind: 6 is unknown"),
        ("01", "protocol version: missing"),
        ("01fd0200000000000000", "protocol version: a varint that begins with 253"),
        ("03fd0200000000", "client id: cut short"),
        ("0221" + "02" * 32, "public key: 33 bytes announced, 32 are there"),
        ("0221" + "05" * 33, "public key: 33 bytes, beginning with 05"),
        ("0200", "public key: 0 bytes, empty"),
        ("0241" + "06" * 65, "public key: 65 bytes, beginning with 06"),
        ("0547" + "00" * 71, "challenge response: 71 bytes; a sealed box has 72"),
        ("02fdffffffffffffffff", "public key: 18446744073709551615 bytes announced"),
        ("00" * 257, "a handshake packet of 257 bytes; at most 256"),
    ],
)
def test_handshake_packets_that_are_refused(packet: str, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        read_handshake_packet(bytes.fromhex(packet))


def test_framed_packets() -> None:
    assert framed(b"hello") == vector("framed", "data_hello")
    assert framed(b"") == vector("framed", "data_empty")
    assert framed(bytearray(b"hello")) == framed(memoryview(b"hello")) == framed(b"hello")


def test_packets_that_cannot_be_sent() -> None:
    with pytest.raises(PacketTooLargeError, match=r"packet: 5 bytes are too many; at most 4 are allowed"):
        framed(b"hello", 4)
    with pytest.raises(TypeError, match="packet: str given"):
        framed("hello")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="client_id: 18446744073709551616 does not fit in 64 bits"):
        tagged(1 << 64, Flag.DATA)
    with pytest.raises(ValueError, match="client_id: -1 does not fit"):
        multicast([1, -1], b"")
    with pytest.raises(TypeError, match="client_id: str given"):
        multicast(["a"], b"")  # type: ignore[list-item]


def test_tagged_packets() -> None:
    assert tagged(ID_OF_VECTOR, Flag.DATA, b"hello") == vector("tagged", "data_hello_from_0x0123456789abcdef")
    assert tagged(7, Flag.DATA) == vector("tagged", "data_empty_from_7")
    assert tagged(7, Flag.FAILURE, b"client disconnected") == vector("tagged", "failure_7")
    assert tagged(7, Flag.KICK) == vector("tagged", "kick_7")
    assert tagged(7, Flag.RECONNECTION) == vector("tagged", "reconnection_7")


def test_tagged_packets_are_read() -> None:
    assert events(vector("tagged", "data_hello_from_0x0123456789abcdef")) == [Data(ID_OF_VECTOR, b"hello")]
    assert events(vector("tagged", "data_empty_from_7")) == [Data(7, b"")]
    assert events(vector("tagged", "failure_7")) == [Failure(7, "client disconnected")]
    assert events(vector("tagged", "reconnection_7")) == [Reconnection(7)]


def test_extensions() -> None:
    section = "firehose_extensions_framed"
    assert tagged(ID, Flag.VOLATILE, b"pos") == vector(section, "volatile")
    assert multicast([ID, 0x99AABBCCDDEEFF00], b"all", volatile=True) == [vector(section, "multicast")]
    assert multicast([], b"") == []
    assert events(vector(section, "away")) == [Away(ID)]
    assert events(vector(section, "address_v4")) == [Address(ID, IPv4Address("192.0.2.7"), 50000)]
    assert events(vector(section, "address_v6")) == [Address(ID, IPv6Address("2001:db8::7"), 50000)]
    assert events(vector(section, "address_unknown")) == [Address(ID, None, 0)]


def test_a_multicast_of_more_ids_than_fit_is_split() -> None:
    ids = list(range(65_536 + 1))
    first, second = multicast(ids, b"x", volatile=True)
    assert len(first) == 4 + 9 + 5 + 8 * 65_536 + 1
    assert second.hex() == "17000000" + "00" * 8 + "06" + "05" + "01000000" + "0000010000000000" + "78"
    assert multicast(array("Q", ids), b"x", volatile=True) == [first, second]
    assert multicast(iter(ids), b"x", volatile=True) == [first, second]


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        ("00000000", "a tagged packet of 0 bytes is shorter than its tag of 9"),
        ("08000000" + "07" * 8, "a tagged packet of 8 bytes is shorter than its tag of 9"),
        ("09000000" + "07" * 8 + "02", "the flag 'kick', which a relay never sends"),
        ("09000000" + "07" * 8 + "05", "the flag 'volatile', which a relay never sends"),
        ("09000000" + "07" * 8 + "06", "the flag 'multicast', which a relay never sends"),
        ("09000000" + "07" * 8 + "08", "the unknown flag 8"),
        ("09000000" + "07" * 8 + "07", "address: empty"),
        ("0a000000" + "07" * 8 + "0705", "address: the family 5 is none of 0, 4 and 6"),
        ("10000000" + "07" * 8 + "0706" + "00" * 6, "address: 7 bytes; 19 expected of family 6"),
    ],
)
def test_tagged_packets_that_are_skipped(packet: str, problem: str) -> None:
    parser = FirehoseParser()
    following = vector("tagged", "data_empty_from_7")
    read = parser.feed(bytes.fromhex(packet) + following)
    assert [type(event) for event in read] == [Announced, RefusedPacket, Data]
    assert isinstance(read[1], RefusedPacket)
    assert problem in read[1].problem
    assert parser.refused == 1


def test_a_short_packet_at_the_end_of_a_read_is_skipped_at_once() -> None:
    parser = FirehoseParser()
    assert len(parser.feed(bytes(4))) == 2
    assert not parser.is_within_packet


def test_a_size_above_the_maximum_ends_the_stream() -> None:
    parser = FirehoseParser(max_packet_size=5)
    hello = tagged(7, Flag.DATA, b"hello")
    assert len(parser.feed(hello + b"GET / HTTP/1.1\r\n")) == 2
    assert parser.error is not None
    assert (parser.error.size, parser.error.maximum) == (542393671, 14)
    assert parser.feed(hello) == []

    splitter = PacketSplitter(5)
    assert splitter.feed(framed(b"hello") + bytes.fromhex("06000000")) == [b"hello"]
    assert isinstance(splitter.error, OversizedPacketError)
    assert splitter.feed(framed(b"hello")) == []


def test_a_declared_size_takes_no_memory() -> None:
    splitter = PacketSplitter()
    assert splitter.feed(bytes.fromhex("f7ff7f00")) == []
    assert len(splitter.take_rest()) == 4


def test_the_announcement_ends_with_the_first_packet_that_does_not_belong_to_it() -> None:
    one, two = tagged(1, Flag.RECONNECTION), tagged(2, Flag.RECONNECTION)
    address = bytes.fromhex("00") + bytes(2)
    assert FirehoseParser().feed(one + two) == [Reconnection(1), Reconnection(2)]
    kinds = [
        type(event)
        for event in FirehoseParser().feed(
            one
            + tagged(1, Flag.ADDRESS, address)
            + tagged(1, Flag.AWAY)
            + two
            + tagged(2, Flag.ADDRESS, address)
            + tagged(3, Flag.ADDRESS, address)
            + tagged(3, Flag.DATA)
        )
    ]
    assert kinds == [Reconnection, Address, Away, Reconnection, Address, Announced, Address, Data]
    assert [type(event) for event in FirehoseParser().feed(one + tagged(2, Flag.AWAY))] == [
        Reconnection,
        Announced,
        Away,
    ]


def test_one_failure_a_client() -> None:
    ended = EndedClients()
    unknown = tagged(7, Flag.FAILURE, b"unknown client")
    parser = FirehoseParser(ended=ended)
    read = parser.feed(tagged(7, Flag.FAILURE, b"kicked") + unknown + unknown + tagged(8, Flag.FAILURE, b"memory"))
    assert read[1:] == [Failure(7, "kicked"), Failure(8, "memory")]
    assert ended.repeated == 2
    # One that the backend never knew: one answer is told.
    unknown = tagged(9, Flag.FAILURE, b"unknown client")
    assert parser.feed(unknown * 3) == [Failure(9, "unknown client")]
    assert (
        FirehoseParser(ended=EndedClients(every_answer=True)).feed(unknown * 3)[1:]
        == [Failure(9, "unknown client")] * 3
    )
    # A relay of the field gives ids out anew when it was restarted.
    assert parser.feed(tagged(7, Flag.FAILURE, b"stale timeout")) == [Failure(7, "stale timeout")]


def test_the_ended_clients_are_bounded() -> None:
    ended = EndedClients()
    for client_id in range(65_536 + 10):
        assert ended.is_news(client_id, "kicked")
    assert len(ended._ids) == 65_536
    assert ended.is_news(0, "unknown client")
    assert not ended.is_news(65_536, "unknown client")


def test_a_reason_that_is_no_utf8_is_told_all_the_same() -> None:
    assert events(tagged(7, Flag.FAILURE, b"\xff")) == [Failure(7, "\N{REPLACEMENT CHARACTER}")]


def test_ids_as_people_write_them() -> None:
    assert client_id_text(7) == "0000000000000007"
    with pytest.raises(ValueError, match="client_id: -1"):
        client_id_text(-1)
