"""The abuses."""

import socket
import time

from .crowd import IN, OUT, Gone
from .cryptography import Secret
from .hoarding import backend_stopped, hoard, held_by_hoarders, held_by_stale, leave_most_unread, within_budget
from .namespace import across_32, within_64
from .protocol import greeting, packet
from .scene import Scene, equal, must

#: What a port scanner says to every port.
GARBAGE = b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"
#: How long those try to connect whom the relay may not hear any more: not until TCP tries again.
PATIENCE = 0.9
BY_ADDRESS = ("refusedAddressClients", "refusedAddressAcceptRate", "refusedAddressHandshakes")


# MARK: Clients that do not finish the handshake

def slow_handshake(stage):
    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        said = greeting()
        # Half of them say the first packet at once: those are further, and owe their key.
        first = 6 if peer.number % 2 else 1
        yield from peer.send(said[:first])
        for byte in said[first:]:
            yield from peer.sleep(1)
            yield from peer.send(bytes([byte]))
    return script


def silent(stage):
    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        yield from peer.stay()
    return script


def wait_for_time(script):
    def play(stage):
        count = stage.sizes(8000, 150)
        stage.run(script(stage), count, 20, rate=stage.sizes(2000, 300))
    return play


def all_in_time(stage):
    late = stage.counted("refusedHandshakeTimeout", "refusedHandshakes")
    return (
        equal("connections that ended", stage.endings["open"], 0)
        + equal("refused for time and for newcomers", late, stage.crowd.connected)
        + equal("refused at all", stage.counted("clientsRefused"), stage.crowd.connected)
        + must(stage.counted("refusedHandshakeTimeout") > 0, "nobody was refused for the time")
        + must(stage.counted("refusedHandshakes") > 0, "nobody made way for newcomers"))


def garbage(stage):
    def script(peer):
        yield from peer.connect(stage.addresses.one(peer.number % stage.sizes(20, 3)), PATIENCE)
        yield from peer.send(GARBAGE)
        while True:
            yield from peer.receive()
    stage.run(script, stage.sizes(10000, 200), 20, rate=stage.sizes(2000, 400))


def banned(stage):
    addresses = stage.sizes(20, 3)
    return (
        equal("bans", stage.counted("bans"), addresses)
        + must(stage.counted("handshakesMalformed") >= 30 * addresses, "banned too early")
        + must(stage.counted("refusedBanned") > 0, "nobody was refused for a ban")
        + equal("garbage and bans", stage.counted("handshakesMalformed", "refusedBanned"), stage.crowd.connected)
        + equal("connections that ended", stage.endings["open"], 0))


# MARK: Too many clients

def enter_and_stay(source):
    def play(stage):
        def script(peer):
            yield from peer.connect(source(stage, peer.number), PATIENCE)
            yield from peer.handshake()
            yield from peer.stay()
        count, rate = stage.sizes(10000, 300), stage.sizes(2500, 1000)
        # On a machine that is busy all of them take longer to come.
        while stage.crowd.started < count:
            left = count - stage.crowd.started
            stage.run(script, left, left / rate, rate=rate)
        # Until each of them has either an id or an end.
        stage.settle(lambda: stage.crowd.open == stage.crowd.clients)
    return play


def refused(most, *reasons, shunned=False):
    """All but so many were refused, for these reasons alone, or not even heard."""
    def check(stage):
        count = stage.counted("clientsRefused")
        unheard = stage.endings.get("unheard", 0)
        return (
            equal("connected, and not heard", stage.crowd.connected + unheard, stage.crowd.started)
            + must((unheard > 0) == shunned, f"{unheard} were not heard")
            + must((stage.counted("addressesShunned") > 0) == shunned, "shunned, or not, against the rule")
            + equal("refused, and still there", count + stage.endings["open"], stage.crowd.connected)
            + equal("refused for the reasons that hold", stage.counted(*reasons), count)
            + must(count > 0, "nobody was refused")
            + must(stage.endings["open"] <= most(stage), f"{stage.endings['open']} were let in"))
    return check


def enter_and_leave(source):
    def play(stage):
        def script(peer):
            yield from peer.connect(source(peer.number))
            yield from peer.handshake()
        count = stage.sizes(5000, 150)
        stage.run(script, count, 20, concurrency=64)
        middle = stage.relay.memory()
        stage.run(script, 3 * count, 40, concurrency=64)
        stage.notes["grown_by"] = stage.relay.memory() - middle
    return play


def bounded(stage):
    return (
        equal("handshakes", stage.crowd.clients, stage.crowd.started)
        + must(
            stage.notes["grown_by"] < 1 << 20,
            f"three times as many addresses took {stage.notes['grown_by']} bytes more"))


# MARK: Clients that come back

def owners(stage, count, secret):
    """Sessions whose clients have left. Their ids."""
    ids = []

    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        ids.append((yield from peer.handshake(secret.point)))
    stage.run(script, count, 20, concurrency=64)
    return ids


def wrong_responses(stage):
    secret, ids = Secret(), []
    ids = owners(stage, stage.sizes(200, 20), secret)
    attackers = stage.sizes(50, 4)
    attempts = stage.sizes(5000, 160)
    first = stage.crowd.started

    def wrong(peer):
        number = peer.number - first
        yield from peer.connect(stage.addresses.one(number % attackers))
        yield from peer.come_back(ids[number % len(ids)], secret, wrong=True)
    stage.run(wrong, attempts, 20, rate=stage.sizes(1000, 200))
    stage.notes["let_in"] = stage.crowd.endings["done"] - len(ids)
    stage.units = attempts

    # The owners, from addresses of their own, lose nothing by it.
    first = stage.crowd.started

    def right(peer):
        number = peer.number - first
        yield from peer.connect(stage.addresses.spread(number))
        yield from peer.come_back(ids[number], secret)
    stage.run(right, len(ids), 20, concurrency=16)
    stage.notes.update(owners=len(ids), attempts=attempts)


def owners_unharmed(stage):
    refusals = stage.counted("reconnectionsRefused", "refusedReconnectFailures", "refusedBanned")
    return (
        equal("wrong responses that were let in", stage.notes["let_in"], 0)
        + equal("owners that came back", stage.counted("reconnections"), stage.notes["owners"])
        + equal("attempts refused", refusals, stage.notes["attempts"])
        + must(stage.counted("refusedReconnectFailures") > 0, "no address was refused further attempts"))


def honest_storm(stage):
    """All come back at once, and strangers with them."""
    secret = Secret()
    ids = owners(stage, stage.sizes(4000, 100), secret)
    first, times = stage.crowd.started, {True: [], False: []}

    def script(peer):
        number = peer.number - first
        begun = time.monotonic()
        yield from peer.connect(stage.addresses.spread(number))
        returns = number % 2 == 0
        if returns:
            yield from peer.come_back(ids[number // 2], secret)
        else:
            yield from peer.handshake()
        times[returns].append(time.monotonic() - begun)
    stage.run(script, 2 * len(ids), 60, concurrency=1000)
    for returns, name in ((True, "returners_p50"), (False, "strangers_p50")):
        values = sorted(times[returns])
        stage.notes[name] = values[len(values) // 2] if values else None
    stage.notes["owners"] = len(ids)


def all_returned(stage):
    return (
        equal("owners that came back", stage.counted("reconnections"), stage.notes["owners"])
        + equal("refused", stage.counted("clientsRefused", "reconnectionsRefused"), 0)
        + equal("done", stage.endings.get("done", 0), stage.crowd.started))


# MARK: Clients that misbehave

def oversize(stage):
    def script(peer):
        yield from peer.connect(stage.addresses.one(peer.number % stage.sizes(100, 6)))
        yield from peer.handshake()
        yield from peer.send(b"\xff\xff\xff\x7f and more")
        while True:
            yield from peer.receive()
    stage.run(script, stage.sizes(4000, 180), 20, rate=stage.sizes(500, 300))


def too_large(stage):
    ends = stage.counted("endedPacketTooLarge")
    return (
        equal("too large, and refused for a ban", ends + stage.counted("refusedBanned"), stage.crowd.connected)
        + equal("what the backend heard", stage.ended.get("packet too large", 0), ends)
        + must(stage.counted("refusedBanned") > 0, "nobody was refused for a ban")
        + equal("connections that ended", stage.endings["open"], 0))


def unfinished(stage):
    size = stage.sizes(512, 64) << 10

    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        yield from peer.handshake()
        yield from peer.send(packet(bytes(2 * size))[:4 + size])
        yield from peer.stay()
    stage.run(script, stage.sizes(400, 40), 20, rate=100)
    stage.notes["budget"] = stage.sizes(64, 1) << 20


def ended_unfinished(stage):
    ends = stage.counted("endedMemory", "endedPacketTimeout")
    # Buffers double as bytes come, and the allocator keeps some.
    most = 2 * stage.notes["budget"] + (8 << 20)
    return (
        equal("ended", ends, stage.crowd.connected)
        + must(stage.counted("endedMemory") > 0, "the budget ended nobody")
        + must(stage.counted("endedPacketTimeout") > 0, "the time ended nobody")
        + equal("what the backend heard", stage.heard("memory", "packet timeout"), ends)
        + must(stage.peak - stage.base < most, f"the relay grew by {stage.peak - stage.base} bytes"))


def non_readers(metric):
    return lambda stage: leave_unread(stage, metric)


def leave_unread(stage, metric):
    data = packet(bytes(16 << 10))

    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        yield from peer.handshake()
        # More than the buffers of the kernel take for it.
        for _ in range(stage.sizes(800, 600)):
            yield from peer.send(data)
            yield from peer.sleep(0.002)
        yield from peer.stay()
    wait_for(stage, metric, script)


def wait_for(stage, metric, script):
    """Until all of a crowd have ended for that reason."""
    count = stage.sizes(40, 3)
    # On a machine that is busy all of them take longer to come.
    while stage.crowd.started < count:
        left = count - stage.crowd.started
        stage.run(script, left, left / 20, rate=20)
    stage.settle(lambda: stage.relay.counters().get(metric, 0) == count)
    # The relay closes in an orderly way, of which clients that do not read notice nothing for 5 s.
    if not stage.sizes.is_small:
        stage.settle(lambda: not stage.crowd.open)


def unasked(stage):
    size = 16 << 10

    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number), window=4096)
        client = yield from peer.handshake()
        stage.relay.backend.ask(f"send {client} {(12 << 20) // size} {size}")
        yield from peer.stay()
    wait_for(stage, "endedBufferOverflow", script)


def not_read(metric, reason):
    def check(stage):
        return (
            equal(reason, stage.counted(metric), stage.crowd.started)
            + equal("what the backend heard", stage.heard(reason), stage.crowd.started)
            + must(stage.sizes.is_small or not stage.endings["open"], "some were not closed"))
    return check


def packet_flood(stage):
    """Batches as fast as they are taken, at most 200,000 packets a second altogether."""
    batch, batches = packet(bytes(64)) * 100, stage.sizes(10000, 100)
    clients = stage.sizes(4, 2)
    sent = [0]
    stage.notes["flooders"] = clients

    def script(peer):
        yield from peer.connect(stage.addresses.spread(peer.number))
        yield from peer.handshake()
        begun = time.monotonic()
        rest = b""
        for number in range(1, batches // clients + 1):
            due = begun + number * clients / 2000
            while rest or time.monotonic() < due:
                # What comes back is read: this is no abuse of that kind.
                try:
                    while peer.socket.recv(1 << 18):
                        pass
                    raise Gone("closed")
                except BlockingIOError:
                    pass
                except OSError:
                    raise Gone("reset") from None
                if rest:
                    try:
                        rest = rest[peer.socket.send(rest):]
                        continue
                    except BlockingIOError:
                        pass
                    except OSError:
                        raise Gone("reset") from None
                wanted = (OUT if rest else 0) | IN
                yield wanted, 0.5 if rest else max(0.0, due - time.monotonic())
            rest = batch
            sent[0] += 100
    stage.run(script, clients, stage.sizes(5, 2))
    stage.units = max(1, sent[0])


def flooded(pace):
    def check(stage):
        clients = stage.notes["flooders"]
        ends = stage.counted("endedRateLimit")
        return (
            equal("ended for their rate", ends, clients if pace == "end" else 0)
            + equal("what the backend heard", stage.heard("rate limit"), ends)
            + must((stage.counted("slowedPacketRate") > 0) == (pace == "pause"), "slowed, or not, against the flags"))
    return check


NO_RATE = ("--accept-rate-per-ip", "0")


def all_scenes():
    return [
        Scene(
            "slow handshakes", "a byte a second, from 8,000 addresses", wait_for_time(slow_handshake), all_in_time,
            small_flags=["--handshake-timeout", "1500ms", "--max-pending-handshakes", "100"]),
        Scene(
            "silent connections", "say nothing at all, from 8,000 addresses", wait_for_time(silent), all_in_time,
            small_flags=["--handshake-timeout", "1s", "--max-pending-handshakes", "100"]),
        Scene(
            "garbage", "HTTP instead of a handshake, from 20 addresses, which get banned", garbage, banned,
            flags=NO_RATE),
        Scene(
            "flood of one address", "2,500 connections a second",
            enter_and_stay(lambda stage, _: stage.addresses.one(0)), refused(lambda _: 64, *BY_ADDRESS, shunned=True)),
        Scene(
            "flood of one address, its number", "the same without a limit of its rate: the number of its clients holds",
            enter_and_stay(lambda stage, _: stage.addresses.one(0)),
            refused(lambda _: 64, *BY_ADDRESS, shunned=True), flags=NO_RATE),
        Scene(
            "flood of one network", "from 250 addresses of a /24",
            enter_and_stay(lambda stage, number: stage.addresses.crowded(number)),
            refused(lambda _: 256, "refusedPrefixClients", *BY_ADDRESS),
            small_flags=["--max-clients-per-prefix", "50"]),
        Scene(
            "flood of many addresses, their rate", "10,000 addresses, with --accept-rate",
            enter_and_stay(lambda stage, number: stage.addresses.spread(number)),
            refused(lambda stage: stage.sizes(6000, 250), "refusedAcceptRate"), flags=["--accept-rate", "500/s"],
            small_flags=["--accept-rate", "50/s"], welcomes=False),
        Scene(
            "flood of many addresses, their number", "10,000 addresses, with --max-clients 1000",
            enter_and_stay(lambda stage, number: stage.addresses.spread(number)),
            refused(lambda _: 1000, "refusedClients"), flags=["--max-clients", "1000"],
            small_flags=["--max-clients", "100"], welcomes=False),
        Scene(
            "IPv6 addresses of a /64", "10,000 addresses, which count as one",
            enter_and_stay(lambda _, number: within_64(number)),
            refused(lambda _: 64, *BY_ADDRESS, shunned=True), needs_ipv6=True),
        Scene(
            "IPv6 addresses of a /32", "20,000 handshakes, each from another /64", enter_and_leave(across_32), bounded,
            flags=["--max-clients", "2000", "--stale-timeout", "0"], needs_ipv6=True),
        Scene(
            "wrong responses", "50 addresses try to come back as others, 5,000 times", wrong_responses, owners_unharmed,
            flags=NO_RATE),
        Scene(
            "honest reconnect storm", "4,000 come back at once, and as many strangers with them", honest_storm,
            all_returned),
        Scene(
            "oversize packets", "clients announce 2 GiB, from 100 addresses, which get banned", oversize, too_large,
            flags=NO_RATE, small_flags=[*NO_RATE, "--ban-after", "10/m"]),
        Scene(
            "unfinished packets", "400 clients send 512 KiB of 1 MiB; --assembly-budget 64MiB, --packet-timeout 3s",
            unfinished, ended_unfinished, flags=["--assembly-budget", "64MiB", "--packet-timeout", "3s"],
            small_flags=["--max-packet-size", "1MiB", "--assembly-budget", "1MiB", "--packet-timeout", "1s"]),
        Scene(
            "non-readers", "40 clients want echoes of 12 MiB and read none",
            non_readers("endedSlowClient"), not_read("endedSlowClient", "slow client"),
            small_flags=["--slow-client-timeout", "1s"]),
        Scene(
            "non-readers, a small buffer", "the same with --client-send-buffer 1MiB",
            non_readers("endedSlowClient"), not_read("endedSlowClient", "slow client"),
            flags=["--client-send-buffer", "1MiB"],
            small_flags=["--client-send-buffer", "1MiB", "--slow-client-timeout", "1s"]),
        Scene(
            "non-readers, unasked", "the backend sends 40 clients 12 MiB each, and they read none",
            unasked, not_read("endedBufferOverflow", "buffer overflow")),
        Scene(
            "non-readers, their time", "the same with --client-send-buffer 64MiB and --slow-client-timeout 2s",
            non_readers("endedSlowClient"), not_read("endedSlowClient", "slow client"),
            flags=["--client-send-buffer", "64MiB", "--slow-client-timeout", "2s"],
            small_flags=["--client-send-buffer", "64MiB", "--slow-client-timeout", "1s"]),
        Scene(
            "hoarding by coming back",
            "4 clients read nothing, and come back for a packet of 8 MiB, again and again", hoard, held_by_hoarders),
        Scene(
            "stale sessions with small windows", "400 clients read 0.86 MiB of 1.03 MiB, and leave",
            leave_most_unread, held_by_stale, flags=["--missed-packets-buffer", "1MiB"], welcomes=False),
        Scene(
            "backend stopped", "400 clients go on sending, with --memory-budget 32MiB", backend_stopped, within_budget,
            flags=["--memory-budget", "32MiB"], small_flags=["--memory-budget", "4MiB"], welcomes=False),
        Scene(
            "packet flood", "4 clients, 200,000 packets of 64 B a second, without a limit", packet_flood,
            flooded("none"), unit="packet"),
        Scene(
            "packet flood, paused", "the same with --client-packet-rate 1000/s", packet_flood, flooded("pause"),
            flags=["--client-packet-rate", "1000/s"], unit="packet"),
        Scene(
            "packet flood, ended", "the same with --rate-policy end", packet_flood, flooded("end"),
            flags=["--client-packet-rate", "1000/s", "--rate-policy", "end"], unit="packet"),
    ]
