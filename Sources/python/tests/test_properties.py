"""The framing under bytes of all kinds, cut anywhere. A failing example is printed, and can be run again."""

from __future__ import annotations

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from voltlane import FirehoseParser, WireError
from voltlane.events import Announced, Data, Event
from voltlane.wire import (
    MAX_ID,
    Flag,
    HandshakeKind,
    PacketSplitter,
    framed,
    handshake_packet,
    multicast,
    read_address,
    read_handshake_packet,
    read_varint,
    tagged,
    varint,
)

settings.register_profile("voltlane", max_examples=50, deadline=None, database=None)
settings.load_profile("voltlane")

IDS = st.integers(0, MAX_ID)
PACKETS = st.lists(st.binary(max_size=40), max_size=12)
TAGGED = st.lists(st.tuples(IDS, st.integers(0, 9), st.binary(max_size=30)), max_size=12)
CUTS = st.lists(st.integers(0, 1 << 12), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)])]


@given(PACKETS, CUTS)
def test_packets_come_out_as_they_went_in(packets: list[bytes], cuts: list[int]) -> None:
    splitter = PacketSplitter(40)
    stream = b"".join(map(framed, packets))
    assert [packet for piece in pieces(stream, cuts) for packet in splitter.feed(piece)] == packets
    assert not splitter.is_within_packet


@given(PACKETS, CUTS, st.integers(1, 3))
def test_packets_that_are_taken_a_few_at_a_time(packets: list[bytes], cuts: list[int], limit: int) -> None:
    splitter = PacketSplitter(40)
    taken: list[bytes] = []
    for piece in pieces(b"".join(map(framed, packets)), cuts):
        some = splitter.feed(piece, limit)
        while some:
            assert len(some) <= limit
            taken += some
            some = splitter.feed(b"", limit)
    assert taken == packets


@given(TAGGED, CUTS)
def test_events_do_not_depend_on_the_cuts(packets: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(tagged(*packet) for packet in packets)
    whole = FirehoseParser().feed(stream)
    parser = FirehoseParser()
    assert [event for piece in pieces(stream, cuts) for event in parser.feed(piece)] == whole
    assert not parser.is_within_packet
    assert [event for event in whole if isinstance(event, Data)] == [
        Data(client_id, data) for client_id, flag, data in packets if flag == Flag.DATA
    ]
    assert sum(isinstance(event, Announced) for event in whole) <= 1


def _model(data: bytes, maximum: int) -> tuple[list[bytes], int]:
    """What a stream holds, read the plain way: packets, and the bytes that are left."""
    packets: list[bytes] = []
    position = 0
    while len(data) - position >= 4:
        (size,) = struct.unpack_from("<I", data, position)
        if size > maximum:
            return packets, -1
        if len(data) - position - 4 < size:
            break
        packets.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    return packets, len(data) - position


# Mostly small sizes, so that arbitrary bytes are packets often enough.
STREAMS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.builds(lambda size, rest: struct.pack("<I", size) + rest, st.integers(0, 40), st.binary(max_size=40)),
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=150)
@given(STREAMS, CUTS)
@example(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", [])
def test_arbitrary_bytes(data: bytes, cuts: list[int]) -> None:
    packets, left = _model(data, 40)
    splitter = PacketSplitter(40)
    assert [packet for piece in pieces(data, cuts) for packet in splitter.feed(piece)] == packets
    assert (splitter.error is not None) == (left < 0)
    if left >= 0:
        assert len(splitter.take_rest()) == left

    parser = FirehoseParser(31)
    events: list[Event] = [event for piece in pieces(data, cuts) for event in parser.feed(piece)]
    assert (parser.error is not None) == (left < 0)
    datas = [
        (*struct.unpack_from("<Q", packet), packet[9:]) for packet in packets if len(packet) >= 9 and packet[8] == 0
    ]
    assert [event for event in events if isinstance(event, Data)] == datas
    assert len(events) <= len(packets) + 1
    assert parser.is_within_packet == (left > 0)


@given(st.binary(max_size=300))
def test_arbitrary_handshake_packets_are_read_or_refused(data: bytes) -> None:
    try:
        packet = read_handshake_packet(data)
    except WireError:
        return
    assert read_handshake_packet(handshake_packet(*packet)[4:]) == packet


@given(st.binary(max_size=24))
def test_arbitrary_addresses_are_read_or_refused(data: bytes) -> None:
    try:
        host, port = read_address(data)
    except WireError:
        return
    family = 0 if host is None else host.version
    assert data == bytes((family,)) + (b"" if host is None else host.packed) + struct.pack("<H", port)


@given(IDS, st.binary(max_size=8))
def test_varints(value: int, rest: bytes) -> None:
    form = varint(value)
    assert read_varint(form + rest) == (value, len(form))
    # The shortest one.
    assert len(form) == (1 if value < 251 else 3 if value < 1 << 16 else 5 if value < 1 << 32 else 9)


@given(st.lists(IDS, min_size=1, max_size=50), st.binary(max_size=50), st.booleans())
def test_multicasts(ids: list[int], data: bytes, volatile: bool) -> None:
    (frame,) = multicast(ids, data, volatile)
    size, client_id, flag, kind, count = struct.unpack_from("<IQBBI", frame)
    assert (size, client_id, flag, kind, count) == (len(frame) - 4, 0, 6, 5 if volatile else 0, len(ids))
    assert list(struct.unpack_from(f"<{count}Q", frame, 18)) == ids
    assert frame[18 + 8 * count :] == data


@given(IDS)
def test_client_ids_in_handshakes(client_id: int) -> None:
    packet = handshake_packet(HandshakeKind.CLIENT_ID, client_id)
    assert read_handshake_packet(packet[4:]).value == client_id
