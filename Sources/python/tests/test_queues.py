from __future__ import annotations

import asyncio

import pytest
from support import asynchronous

from voltlane import ClosedError
from voltlane.limits import LONE_PACKET, PACKET_OVERHEAD, WRITE_SIZE
from voltlane.outbox import Outbox
from voltlane.queues import Inbox

# --- Inbox


@asynchronous
async def test_items_and_batches_share_one_order() -> None:
    inbox: Inbox[int] = Inbox(1 << 20)
    inbox.put([1, 2, 3], 3)
    inbox.put([4, 5], 2)
    assert inbox.count == 5
    assert await inbox.take() == 1
    assert await inbox.take_batch() == [2, 3]
    assert await inbox.take_batch() == [4, 5]
    assert (inbox.count, inbox.cost) == (0, 0)
    inbox.finish()
    assert await inbox.take() is None
    assert await inbox.take_batch() is None


@asynchronous
async def test_a_full_inbox_says_when_there_is_room() -> None:
    rooms = []
    inbox: Inbox[int] = Inbox(4 * (PACKET_OVERHEAD + 10))
    inbox.on_room = lambda: rooms.append(inbox.cost)
    for number in range(4):
        assert not inbox.is_full
        inbox.put([number], 10)
    assert inbox.is_full
    await inbox.take()
    assert inbox.is_full
    await inbox.take()
    assert not inbox.is_full
    assert rooms == [2 * (PACKET_OVERHEAD + 10)]


@asynchronous
async def test_what_had_come_is_given_before_the_error() -> None:
    inbox: Inbox[int] = Inbox(100)
    inbox.put([1], 1)
    inbox.finish(ClosedError())
    inbox.put([2], 1)
    assert await inbox.take() == 1
    for _ in range(2):
        with pytest.raises(ClosedError):
            await inbox.take()


@asynchronous
async def test_each_item_goes_to_one_task() -> None:
    inbox: Inbox[int] = Inbox(1 << 20)
    takers = [asyncio.ensure_future(inbox.take()) for _ in range(3)]
    await asyncio.sleep(0)
    inbox.put([1, 2], 2)
    inbox.put([3], 1)
    assert set(await asyncio.gather(*takers)) == {1, 2, 3}


@asynchronous
async def test_a_taker_that_is_cancelled_takes_nothing_along() -> None:
    inbox: Inbox[int] = Inbox(1 << 20)
    first, second = (asyncio.ensure_future(inbox.take()) for _ in range(2))
    await asyncio.sleep(0)
    inbox.put([1], 1)
    # It was woken, and is cancelled before it runs.
    first.cancel()
    assert await second == 1
    third = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    inbox.put([2], 1)
    assert await inbox.take() == 2


# --- Outbox


def test_small_packets_are_written_together_and_large_ones_by_themselves() -> None:
    outbox = Outbox(1 << 30)
    large = bytes(LONE_PACKET + 1)
    for packet in (b"a", b"b", large, large, b"c"):
        assert outbox.try_put(packet)
    writes = []
    while True:
        write = list(outbox.next_write())
        if not write:
            break
        writes.append(write)
        outbox.wrote()
    assert writes == [[b"a", b"b"], [large], [large], [b"c"]]
    assert outbox.cost == 0
    assert outbox.is_empty
    for _ in range(WRITE_SIZE // 1000 * 2):
        outbox.try_put(bytes(1000))
    assert sum(map(len, outbox.next_write())) < WRITE_SIZE + 1000


def test_a_write_that_broke_off() -> None:
    outbox = Outbox(1 << 20)
    for packet in (b"a", b"b", b"c"):
        outbox.try_put(packet)
    assert outbox.next_write() == [b"a", b"b", b"c"]
    outbox.try_put(b"d")
    outbox.lost()
    # The kernel cannot have had all of c; a and b it may have had, and nothing is sent twice.
    assert outbox.next_write() == [b"c", b"d"]
    assert outbox.cost == 2 * (1 + PACKET_OVERHEAD)
    outbox.refused()
    assert outbox.next_write() == [b"c", b"d"]
    outbox.wrote()
    assert outbox.is_empty


@asynchronous
async def test_those_who_wait_for_room_keep_their_order() -> None:
    outbox = Outbox(1)
    assert outbox.try_put(b"1")
    assert not outbox.try_put(b"2")
    second, third, fourth = (asyncio.ensure_future(outbox.put(packet)) for packet in (b"2", b"3", b"4"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    for waiting, expected in ((third, b"3"), (fourth, b"4")):
        outbox.next_write()
        outbox.wrote()
        await waiting
        # Nobody overtakes those who wait.
        assert not outbox.try_put(b"5")
        assert outbox._packets[0] == expected
    assert second.cancelled()


@asynchronous
async def test_a_closed_outbox_takes_nothing() -> None:
    outbox = Outbox(1)
    outbox.try_put(b"1")
    waiting = asyncio.ensure_future(outbox.put(b"2"))
    await asyncio.sleep(0)
    outbox.close()
    with pytest.raises(ClosedError, match="the client is closed"):
        await waiting
    with pytest.raises(ClosedError):
        outbox.try_put(b"3")
    assert outbox.cost == 0
