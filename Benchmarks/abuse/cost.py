"""What a refused connection costs the relay, beside a completed handshake: CPU of all its threads."""

import statistics
from dataclasses import dataclass
from typing import Callable, Sequence

from .crowd import Crowd, Gone
from .cryptography import Secret
from .relay import PATIENCE, Relay
from .scenes import GARBAGE

MODES = ("close", "reset", "silent")
#: So many addresses share what is refused: an address that is refused more than a hundred times a second is ignored.
ADDRESSES = 40
#: What each handshake stands for in the table.
HANDSHAKES = {
    "new client": "a completed handshake",
    "first return": "a client comes back for the first time",
    "later return": "a client comes back again",
}


@dataclass
class Refusal:
    """A reason, and how to come to it: flags, and what is done before."""
    name: str
    title: str
    #: The relay's counter of it.
    counter: str
    flags: Sequence[str]
    #: The address of each connection.
    source: Callable = lambda addresses, number: addresses.one(number % ADDRESSES)
    #: What is at each address beforehand: `client`, `silent`, `garbage` or nothing.
    before: str = ""
    #: At how many addresses.
    holders: int = ADDRESSES


def refusals(addresses):
    free = ("--accept-rate-per-ip", "0")
    return [
        Refusal("denied", "`--deny`", "refusedDenied", ["--deny", f"{addresses.network}.1.0.0/24"]),
        Refusal("banned", "`--ban-after`", "refusedBanned", [*free, "--ban-after", "1/m"], before="garbage"),
        Refusal(
            "address, number", "`--max-clients-per-ip`", "refusedAddressClients",
            [*free, "--max-clients-per-ip", "1"], before="client"),
        Refusal(
            "address, rate", "`--accept-rate-per-ip`", "refusedAddressAcceptRate",
            ["--accept-rate-per-ip", "1/m"], before="client"),
        Refusal(
            "address, handshakes", "`--max-pending-handshakes-per-ip`", "refusedAddressHandshakes",
            [*free, "--max-pending-handshakes-per-ip", "1", "--handshake-timeout", "0"], before="silent"),
        Refusal(
            "network", "`--max-clients-per-prefix`", "refusedPrefixClients", ["--max-clients-per-prefix", "1", *free],
            source=lambda addresses, number: addresses.crowded(number), before="client", holders=1),
        Refusal(
            "relay, rate", "`--accept-rate`", "refusedAcceptRate", ["--accept-rate", "1/m"],
            source=lambda addresses, number: addresses.spread(number), before="client", holders=1),
        Refusal(
            "relay, number", "`--max-clients`", "refusedClients", ["--max-clients", "1"],
            source=lambda addresses, number: addresses.spread(number), before="client", holders=1),
    ]


class Round:
    """One relay, and one thing done to it many times."""

    def __init__(self, program, addresses, count):
        self.program, self.addresses, self.count = program, addresses, count

    def refusal(self, refusal, mode):
        """Nanoseconds a refused connection."""
        flags = [*refusal.flags, "--reject", mode]
        with Relay(self.program, self.addresses, flags) as relay:
            crowd = Crowd(relay.address)
            self.prepare(refusal, crowd, relay)

            def script(peer):
                yield from peer.connect(refusal.source(self.addresses, peer.number))
                try:
                    # A client that is refused silently notices nothing.
                    yield from peer.sleep(0.02 if mode == "silent" else 3600)
                except Gone:
                    pass

            held = crowd.open
            warm_up = max(50, self.count // 10)
            self.storm(crowd, script, warm_up, held)
            refused = relay.await_counter(refusal.counter, warm_up)[refusal.counter]
            cpu = relay.cpu()
            self.storm(crowd, script, self.count, held)
            counters = relay.await_counter(refusal.counter, refused + self.count)
            cpu = relay.cpu() - cpu - self.asking(relay)
            crowd.stop()
            if counters["clientsRefused"] != counters[refusal.counter]:
                raise AssertionError(f"{refusal.name}: refused for other reasons as well: {counters}")
            return cpu / self.count

    def prepare(self, refusal, crowd, relay):
        def script(peer):
            yield from peer.connect(refusal.source(self.addresses, peer.number % refusal.holders))
            if refusal.before == "garbage":
                yield from peer.send(GARBAGE)
                # Refused without a word, it would hear nothing of it.
                yield from peer.sleep(0.02)
                return
            if refusal.before == "client":
                yield from peer.handshake()
            yield from peer.stay()
        if refusal.before == "garbage":
            self.storm(crowd, script, 3 * refusal.holders, 0)
            relay.await_counter("bans", refusal.holders)
        elif refusal.before:
            for _ in range(refusal.holders):
                crowd.start(script)
            while refusal.before == "client" and crowd.clients < refusal.holders:
                crowd.turn(0.02)
            relay.await_counter("clientsAccepted", refusal.holders)

    def flood(self, refusal):
        """Nanoseconds an attempt of one address that goes on and on, at 5,000 a second."""
        with Relay(self.program, self.addresses, refusal.flags) as relay:
            crowd = Crowd(relay.address)
            self.prepare(refusal, crowd, relay)
            count, held, first = 10 * self.count, crowd.open, crowd.started

            def script(peer):
                yield from peer.connect(refusal.source(self.addresses, 0), 0.3)
                yield from peer.stay()
            cpu = relay.cpu()
            while crowd.started < first + count:
                left = first + count - crowd.started
                crowd.run(script, left, left / 5000, rate=5000)
            while crowd.open > held:
                crowd.turn(0.02)
            cpu = relay.cpu() - cpu
            attempts = crowd.started - first
            counters = relay.await_counter("addressesShunned", 1)
            refused, unheard = counters[refusal.counter], crowd.endings["unheard"]
            crowd.stop()
            if refused + unheard < attempts or not unheard:
                raise AssertionError(f"{refusal.name}: of {attempts}, {refused} refused and {unheard} not heard")
            return cpu / attempts

    @staticmethod
    def storm(crowd, script, count, held):
        """Connections one after the other, 64 at a time, besides those that are held."""
        end = crowd.started + count
        while crowd.started < end or crowd.open > held:
            while crowd.started < end and crowd.open < held + 64:
                crowd.start(script)
            crowd.turn(0.02)

    @staticmethod
    def asking(relay):
        """What one look at the counters costs it."""
        before = relay.cpu()
        for _ in range(4):
            relay.counters()
        return (relay.cpu() - before) / 4

    def handshakes(self):
        """Nanoseconds a new client, a first return, a later return."""
        secret, ids, costs = Secret(), [], []
        with Relay(self.program, self.addresses, []) as relay:
            crowd = Crowd(relay.address)

            def enter(peer):
                yield from peer.connect(self.addresses.spread(peer.number))
                ids.append((yield from peer.handshake(secret.point)))

            self.storm(crowd, enter, max(50, self.count // 10), 0)
            ids.clear()
            costs.append(self.measured(relay, crowd, enter))
            for _ in range(2):
                first = crowd.started

                def come_back(peer, first=first):
                    number = peer.number - first
                    yield from peer.connect(self.addresses.spread(number))
                    yield from peer.come_back(ids[number], secret)
                costs.append(self.measured(relay, crowd, come_back))
            crowd.stop()
            if crowd.endings["done"] != crowd.started:
                raise AssertionError(f"handshakes failed: {crowd.endings}")
        return dict(zip(HANDSHAKES, costs))

    def measured(self, relay, crowd, script):
        cpu = relay.cpu()
        self.storm(crowd, script, self.count, 0)
        return (relay.cpu() - cpu) / self.count


def measure(program, addresses, rounds, count, every_mode=True):
    """Everything takes its turn in each round, and all rounds are in the result. Without `every_mode` each reason is
    come to in one of them."""
    each = Round(program, addresses, count)
    handshakes = {name: [] for name in HANDSHAKES}
    refused, floods = {}, {}
    for _ in range(rounds):
        for name, cost in each.handshakes().items():
            handshakes[name].append(cost)
        for number, refusal in enumerate(refusals(addresses)):
            for mode in MODES if every_mode else [MODES[number % len(MODES)]]:
                refused.setdefault(refusal.title, {}).setdefault(mode, []).append(each.refusal(refusal, mode))
        for refusal in refusals(addresses)[:3]:
            floods.setdefault(refusal.title, []).append(each.flood(refusal))
    return {"count": count, "rounds": rounds, "handshakes": handshakes, "refused": refused, "floods": floods}


def median(values):
    return statistics.median(values)
