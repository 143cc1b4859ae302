"""Clients that do nothing wrong, in a process of their own: what do they notice?

Residents connect once and send packets that are due at a steady rate, whatever has come of those before; latency counts
from the moment when a packet was due. Newcomers connect, shake hands, exchange one packet and leave. `python -m
abuse.neighbour RELAY PORT NETWORK RESIDENTS RATE NEWCOMERS`, both rates a second. Each line on its input begins a new
window, and is answered with what the last one saw; `end` waits for what is under way first.
"""

import json
import select
import sys
import time

from .crowd import Crowd, Gone
from .namespace import Addresses
from .protocol import packet

#: The bytes of a packet.
SIZE = 64


def payload(number, sequence):
    """Each packet is another, and each byte can be checked."""
    head = f"{number}:{sequence}:".encode()
    return head + bytes((number * 31 + sequence * 7 + index) & 255 for index in range(SIZE - len(head)))


class Window:
    """What was seen since the last look."""

    def __init__(self):
        self.start = time.monotonic()
        self.latencies, self.welcomes = [], []
        self.faults, self.turned_away = 0, 0

    def summary(self, lost):
        return {
            "seconds": time.monotonic() - self.start, "packets": len(self.latencies), "faults": self.faults,
            "lost": lost, "p50": percentile(self.latencies, 0.5), "p99": percentile(self.latencies, 0.99),
            "worst": max(self.latencies, default=None), "newcomers": len(self.welcomes),
            "turned_away": self.turned_away, "welcome_p50": percentile(self.welcomes, 0.5),
            "welcome_p99": percentile(self.welcomes, 0.99),
        }


def percentile(values, share):
    """In seconds; none where nothing was seen."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else None


class Neighbours:
    def __init__(self, relay, port, addresses, residents, rate, newcomers):
        self.crowd = Crowd((relay, port))
        self.addresses, self.residents, self.rate, self.newcomers = addresses, residents, rate, newcomers
        self.window = Window()
        self.peers, self.under_way = [], 0
        self.came = 0
        self.ending = False

    def resident(self, peer):
        yield from peer.connect(self.addresses.neighbour(peer.number))
        yield from peer.handshake()
        peer.sent, peer.awaited = 0, []
        self.peers.append(peer)
        try:
            while True:
                data = yield from peer.packet()
                if not peer.awaited:
                    self.window.faults += 1
                    continue
                due, expected = peer.awaited.pop(0)
                self.under_way -= 1
                if data != expected:
                    self.window.faults += 1
                self.window.latencies.append(time.monotonic() - due)
        except Gone:
            # Nobody ends a client that did nothing wrong.
            self.window.faults += 1
            self.peers.remove(peer)
            raise

    def newcomer(self, peer):
        begun = time.monotonic()
        try:
            yield from peer.connect(self.addresses.neighbour(self.residents + self.came % 600))
            yield from peer.handshake()
            data = payload(peer.number, 0)
            yield from peer.send(packet(data))
            if (yield from peer.packet()) != data:
                self.window.faults += 1
            self.window.welcomes.append(time.monotonic() - begun)
        except Gone:
            self.window.turned_away += 1
            raise

    def send(self, number, due):
        if not self.peers:
            return
        peer = self.peers[number % len(self.peers)]
        data = payload(peer.number, peer.sent)
        try:
            peer.socket.send(packet(data))
        except OSError:
            self.window.faults += 1
            return
        peer.sent += 1
        peer.awaited.append((due, data))
        self.under_way += 1

    def run(self):
        for _ in range(self.residents):
            self.crowd.start(self.resident)
        deadline = time.monotonic() + 20
        while len(self.peers) < self.residents and time.monotonic() < deadline:
            self.crowd.turn(0.02)
        print(json.dumps({"residents": len(self.peers)}), flush=True)
        first = time.monotonic()
        sent = 0
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        while True:
            now = time.monotonic()
            while not self.ending and first + sent / self.rate <= now:
                self.send(sent, first + sent / self.rate)
                sent += 1
            while not self.ending and self.newcomers and first + self.came / self.newcomers <= now:
                self.crowd.start(self.newcomer)
                self.came += 1
            self.crowd.turn(max(0.0, min(first + sent / self.rate - time.monotonic(), 0.02)))
            if poll.poll(0) and not self.answer(sys.stdin.readline().strip()):
                return

    def answer(self, word):
        if not word:
            return False
        if word == "end":
            self.ending = True
            deadline = time.monotonic() + 10
            while (self.under_way or len(self.crowd.peers) > len(self.peers)) and time.monotonic() < deadline:
                self.crowd.turn(0.02)
        print(json.dumps(self.window.summary(self.under_way if word == "end" else 0)), flush=True)
        self.window = Window()
        return True


def main(relay, port, network, residents, rate, newcomers):
    neighbours = Neighbours(
        relay, int(port), Addresses(network == "10"), int(residents), float(rate), float(newcomers))
    neighbours.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
