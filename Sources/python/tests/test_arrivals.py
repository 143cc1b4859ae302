"""When what a backend reads may have arrived."""

from __future__ import annotations

import pytest
from support import asynchronous, dial, until

from voltlane import Backend, BackendOptions, Data
from voltlane.arrivals import ArrivalClock
from voltlane.wire import Flag, tagged


def test_a_stop_makes_what_is_read_old_until_a_read_finds_nothing_more() -> None:
    clock = ArrivalClock(1.0, 0.0)
    clock.tick(1.0)
    assert clock.read(1.5, is_all=True) == 1.5
    # Stopped from some time after 1.0 to 60.
    assert clock.read(60.0, is_all=False) == 1.0
    clock.tick(61.0)
    assert clock.read(61.5, is_all=True) == 1.0
    assert clock.read(62.0, is_all=True) == 62.0


def test_a_tick_that_is_a_little_late_is_no_stop() -> None:
    clock = ArrivalClock(1.0, 0.0)
    clock.tick(1.9)
    assert clock.read(3.8, is_all=True) == 3.8
    clock.tick(6.0)
    assert clock.read(6.0, is_all=True) == 1.9


def test_without_a_resolution_only_pauses_count() -> None:
    clock = ArrivalClock(None, 0.0)
    assert clock.read(100.0, is_all=True) == 100.0
    clock.pause(110.0)
    clock.pause(120.0)
    assert clock.read(130.0, is_all=False) == 110.0
    assert clock.read(131.0, is_all=True) == 110.0
    assert clock.read(132.0, is_all=True) == 132.0


@pytest.mark.parametrize("resolution", [0, -1, 0.0001, float("nan")])
def test_a_resolution_that_is_none(resolution: float) -> None:
    with pytest.raises(ValueError, match="stop_resolution"):
        BackendOptions(stop_resolution=resolution)


def age(seconds: float | None) -> float:
    assert seconds is not None
    return seconds


@asynchronous
async def test_a_backend_that_was_stopped_knows_how_old_its_events_are() -> None:
    async with await Backend.listen("127.0.0.1:0", BackendOptions(stop_resolution=100.0)) as backend:
        assert backend.event_age is None
        link = await dial(backend.address.port)
        link.write(tagged(7, Flag.DATA, b"before"))
        async for event in backend:
            if event == Data(7, b"before"):
                break
        assert age(backend.event_age) < 1000
        assert backend.oldest_event_age is None
        # As for a process that was stopped: its event loop has not run for that long.
        assert backend._current is not None
        backend._current.arrivals._last_tick -= 10_000.0
        link.write(tagged(7, Flag.DATA, b"meanwhile") + tagged(7, Flag.DATA, b"too"))
        await until(lambda: backend.waiting_events == 2)
        assert age(backend.oldest_event_age) >= 9_000
        batches = backend.batches()
        assert await batches.__anext__() == [Data(7, b"meanwhile"), Data(7, b"too")]
        assert age(backend.event_age) >= 9_000
        link.write(tagged(7, Flag.DATA, b"after"))
        assert await batches.__anext__() == [Data(7, b"after")]
        assert age(backend.event_age) < 1000
        link.close()
