"""Those who make the relay hold memory for them: by coming back without reading, by leaving, by sending what nobody
takes."""

import socket

from .crowd import Gone
from .cryptography import Secret
from .protocol import packet
from .relay import tcp_memory
from .scene import equal, must

#: The largest packet, and what may wait for a client, where no flag says otherwise.
LARGEST, SEND_BUFFER = 8_388_599, 8 << 20
#: A receive buffer of nearly nothing.
CLOSED = 4096


# MARK: Coming back

def hoard(stage):
    """Each reads nothing while the backend sends it the largest packet, comes back, and gets the next one."""
    secret, hoarders = Secret(), stage.sizes(4, 1)
    ids, inside, over = {}, set(), set()

    def enter(number):
        def script(peer):
            yield from peer.connect(stage.addresses.spread(number), window=CLOSED)
            try:
                if number in ids:
                    yield from peer.come_back(ids[number], secret)
                else:
                    ids[number] = yield from peer.handshake(secret.point)
            except Gone:
                over.add(number)
                raise
            inside.add(number)
            yield from peer.stay()
        return script
    rounds, sent = 0, stage.relay.counters().get("bytesDown", 0)
    # Far more often than it may be of use, and no more than the machine has memory for.
    while len(over) < hoarders and rounds < stage.sizes(40, 10):
        rounds += 1
        inside.clear()
        for number in set(range(hoarders)) - over:
            stage.crowd.start(enter(number))
        stage.settle(lambda: len(inside | over) == hoarders)
        for number in inside:
            stage.relay.backend.ask(f"send {ids[number]} 1 {LARGEST}")
            sent += LARGEST
        stage.settle(lambda: stage.relay.counters().get("bytesDown", 0) >= sent or ended(stage) == hoarders)
    stage.notes.update(hoarders=hoarders, rounds=rounds)


def ended(stage):
    return stage.relay.counters().get("endedBufferOverflow", 0)


def held_by_hoarders(stage):
    hoarders = stage.notes["hoarders"]
    # The packet that comes from the backend is memory too, of which there is one at a time.
    most = hoarders * 2 * (SEND_BUFFER + LARGEST) + (32 << 20)
    worst = stage.windows[1]["worst"] or 0
    return (
        equal("buffer overflow", stage.counted("endedBufferOverflow"), hoarders)
        + equal("what the backend heard", stage.heard("buffer overflow"), hoarders)
        + must(stage.notes["rounds"] <= 8, f"they came back {stage.notes['rounds']} times")
        + must(stage.peak - stage.base < most, f"the relay grew by {stage.peak - stage.base} bytes")
        + must(stage.sizes.is_small or worst < 0.5, f"a neighbour's packet took {worst:.3f} s"))


# MARK: Leaving

def leave_most_unread(stage):
    """Each is sent 1.03 MiB, reads 0.86 MiB of it through a small window, and is gone. Then all come back, to see what
    they missed."""
    secret, ids, missed = Secret(), [], [0]
    count, packets, size, read = stage.sizes(400, 12), 66, 16 << 10, 900_000

    def leave(peer):
        yield from peer.connect(stage.addresses.spread(peer.number), window=8 << 10, segment=536)
        client = yield from peer.handshake(secret.point)
        stage.relay.backend.ask(f"send {client} {packets} {size}")
        left = read
        while left > 0:
            left -= len((yield from peer.receive(min(left, 8 << 10))))
        ids.append(client)
    before = stage.relay.counters().get("sessionsGoneStale", 0)
    stage.run(leave, count, 120, concurrency=8)
    stage.settle(lambda: stage.relay.counters().get("sessionsGoneStale", 0) >= before + count)
    resident = stage.relay.memory() - stage.base
    first = stage.crowd.started

    def come_back(peer):
        number = peer.number - first
        yield from peer.connect(stage.addresses.spread(number))
        yield from peer.come_back(ids[number], secret)
        # What it missed comes before the answer to this.
        yield from peer.send(packet(b"the end"))
        while (data := (yield from peer.packet())) != b"the end":
            missed[0] += 4 + len(data)
    stage.run(come_back, len(ids), 60, concurrency=8)
    stage.notes.update(sessions=count, missed=missed[0], resident=resident)
    stage.units = count


def held_by_stale(stage):
    sessions, missed, resident = (stage.notes[name] for name in ("sessions", "missed", "resident"))
    # A few hundred bytes each, what lies between them and is too little for others, and what was in use while some of
    # them were still reading.
    most = missed * 4 // 3 + sessions * 1024 + (8 << 20)
    return (
        equal("done", stage.endings.get("done", 0), 2 * sessions)
        + equal("came back", stage.counted("reconnections"), sessions)
        + must(missed > 0, "nobody missed anything")
        + must(resident < most, f"{resident} bytes resident where {missed} were missed"))


# MARK: Sending what nobody takes

def backend_stopped(stage):
    """The backend stops while many clients send. What the kernel holds of theirs is memory of the machine too."""
    count, backend = stage.sizes(400, 40), stage.relay.backend
    inside, is_stopped = [0], [False]
    data = packet(bytes(16 << 10))

    def sender(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        # What waits on its own side is not the relay's.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield from peer.handshake()
        inside[0] += 1
        while not is_stopped[0]:
            yield from peer.sleep(0.02)
        while is_stopped[0]:
            yield from peer.send(data)

    def newcomer(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        yield from peer.handshake()

    def count_of(name):
        return stage.relay.counters().get(name, 0)
    for _ in range(count):
        stage.crowd.start(sender)
    stage.settle(lambda: inside[0] == count)
    stage.begin()
    backend.pause()
    is_stopped[0] = True
    try:
        stage.settle(lambda: count_of("endedMemory") > 0)
        for _ in range(stage.sizes(20, 5)):
            stage.crowd.start(newcomer)
        stage.settle(lambda: count_of("refusedMemory") > 0)
        # Until those that were told to go are gone, and the rest have filled what they may fill.
        if not stage.sizes.is_small:
            stage.settle(lambda: stage.crowd.open <= count - count_of("endedMemory"))
        stage.run(newcomer, 0, stage.sizes(3, 0.5))
        stage.notes.update(
            ended_meanwhile=count_of("endedMemory"), most=stage.peak_with_kernel - stage.base_with_kernel,
            held=stage.relay.memory() + tcp_memory() - stage.base_with_kernel)
    finally:
        is_stopped[0] = False
        backend.resume()
    # Until all that was held is through.
    backend.ask("counted")
    stage.settle(lambda: not stage.crowd.open)
    stage.notes.update(budget=stage.sizes(32, 4) << 20, senders=count)


def within_budget(stage):
    ends = stage.counted("endedMemory")
    held = stage.notes["held"]
    # What is on its way to the backend, in the relay and in both kernels, waits for nobody else.
    most = stage.notes["budget"] + (16 << 20)
    return (
        must(stage.notes["ended_meanwhile"] > 0, "the budget ended nobody while the backend was stopped")
        + must(ends < stage.notes["senders"], "the budget ended all")
        + equal("what the backend heard", stage.heard("memory"), ends)
        + must(stage.counted("refusedMemory") > 0, "no newcomer was refused")
        + must(stage.sizes.is_small or held < most, f"relay and kernel hold {held} bytes more"))
