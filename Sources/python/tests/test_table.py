from __future__ import annotations

from ipaddress import IPv4Address

from voltlane import (
    Address,
    Announced,
    Away,
    ClientTable,
    Connected,
    Data,
    Disconnected,
    Event,
    Failure,
    Firehose,
    Reconnection,
)

HOSE = Firehose(1)


def apply(table: ClientTable, *events: Event) -> tuple[list[int], list[int]]:
    """Who came and who went."""
    joined: list[int] = []
    left: list[int] = []
    for event in events:
        change = table.apply(event)
        joined += [record.client_id for record in change.joined]
        left += [record.client_id for record in change.left]
    return joined, left


def test_clients_come_and_go() -> None:
    table = ClientTable()
    assert apply(table, Connected(HOSE), Announced(HOSE), Data(1, b""), Data(2, b""), Data(1, b"")) == ([1, 2], [])
    assert apply(table, Failure(1, "kicked"), Failure(9, "unknown client")) == ([], [1])
    assert (table.ids, len(table), 2 in table, 1 in table, table.get(1)) == ([2], 1, True, False, None)
    assert [record.client_id for record in table] == [2]


def test_the_connection_was_lost_and_the_relay_lives() -> None:
    table = ClientTable()
    apply(table, Data(1, b""), Data(2, b""), Data(3, b""))
    assert apply(table, Disconnected(HOSE, "lost"), Connected(HOSE)) == ([], [])
    assert table.ids == [1, 2, 3]
    assert apply(table, Reconnection(2), Reconnection(4), Announced(HOSE)) == ([4], [1, 3])
    assert table.ids == [2, 4]


def test_a_failure_during_the_announcement() -> None:
    table = ClientTable()
    apply(table, Data(1, b""), Data(2, b""), Connected(HOSE))
    assert apply(table, Failure(1, "stale timeout"), Announced(HOSE)) == ([], [1, 2])


def test_without_announcements_nobody_is_told_gone() -> None:
    table = ClientTable(announces=False)
    apply(table, Data(1, b""), Connected(HOSE))
    assert apply(table, Announced(HOSE)) == ([], [])
    assert table.ids == [1]


def test_away_and_addresses() -> None:
    table = ClientTable()
    assert apply(table, Address(1, IPv4Address("192.0.2.7"), 50000), Data(2, b"")) == ([1, 2], [])
    assert (table[1].host, table[1].port) == (IPv4Address("192.0.2.7"), 50000)
    apply(table, Away(1))
    assert table[1].away_since is not None
    assert (table.ids, table.present_ids) == ([1, 2], [2])
    # In an announcement its being away follows.
    apply(table, Connected(HOSE), Reconnection(1), Away(1), Reconnection(2), Announced(HOSE))
    assert table.present_ids == [2]
    apply(table, Reconnection(1), Address(1, None, 0))
    assert table.present_ids == [1, 2]
    assert table[1].host is None


def test_state_of_the_users() -> None:
    table = ClientTable()
    (record,) = table.apply(Data(1, b"")).joined
    record.state = "Ada"
    assert table[1].state == "Ada"
    (left,) = table.apply(Failure(1, "kicked")).left
    assert left.state == "Ada"
