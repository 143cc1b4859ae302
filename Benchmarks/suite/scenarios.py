"""What is measured: scenarios, each with its cells and those who take part."""

from dataclasses import dataclass

RELAYS = ("shared", "again", "own", "epoll", "nio", "nio-single")
EVERYBODY = (*RELAYS, "haproxy", "nginx", "floor")
VOLTLANE_AND_YARDSTICK = ("shared", "again", "epoll")


@dataclass(frozen=True)
class Cell:
    """A row of a scenario: how it is called, and what voltlane-bench is told."""

    name: str
    arguments: tuple

    @property
    def moves_packets(self):
        return "--size" in self.arguments


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    #: The mode of voltlane-bench.
    mode: str
    cells: tuple
    contenders: tuple
    #: Whether a run lasts for a time, rather than for a number of connections.
    is_timed: bool = True


def packets(clients, size, window):
    arguments = ("--clients", str(clients), "--size", str(size), "--window", str(window))
    return Cell(f"{clients}:{size}:{window}", arguments)


def at_rate(clients, size, rate):
    arguments = ("--clients", str(clients), "--size", str(size), "--rate", str(rate))
    return Cell(f"{clients}:{size} at {rate}/s", arguments)


def connections(clients):
    return Cell(str(clients), ("--clients", str(clients)))


def grid(clients, sizes, windows):
    return tuple(packets(c, s, w) for c in clients for s in sizes for w in windows)


def full():
    return (
        Scenario(
            "echo", "Round trips, by clients:size:window", "echo",
            grid((1, 10, 100, 1000), (64, 1024, 16384), (1, 8, 64)), EVERYBODY),
        Scenario(
            "latency", "Latency at a given rate, from the moment when each packet was due", "echo",
            (at_rate(1, 64, 1000), at_rate(100, 64, 20000), at_rate(1000, 64, 50000)), VOLTLANE_AND_YARDSTICK),
        Scenario(
            "ingest", "Clients to backend", "ingest", (packets(100, 64, 64), packets(100, 16384, 8)),
            VOLTLANE_AND_YARDSTICK),
        Scenario(
            "egress", "Backend to clients", "egress", (packets(100, 64, 64), packets(100, 16384, 8)),
            VOLTLANE_AND_YARDSTICK),
        Scenario(
            "one-to-all", "One packet to all clients", "one-to-all", (packets(1000, 64, 1),),
            VOLTLANE_AND_YARDSTICK),
        Scenario(
            "shards", "Scaling by shards", "echo", (packets(100, 64, 8), packets(1000, 64, 1)),
            ("shared", "shards2", "shards4", "own")),
        Scenario(
            "idle", "Memory by clients", "idle",
            (connections(10), connections(100), connections(1000), connections(8000)), ("shared", "epoll", "nio")),
        Scenario(
            "connect-storm", "New clients", "connect-storm", (connections(10000),), VOLTLANE_AND_YARDSTICK,
            is_timed=False),
        Scenario(
            "reconnect-storm", "Returning clients", "reconnect-storm", (connections(5000),), ("shared", "again"),
            is_timed=False),
    )


def quick():
    """A few cells of everything: shows that the suite works, and little else."""
    return (
        Scenario("echo", "Round trips, by clients:size:window", "echo", grid((1, 100), (64,), (1, 64)), EVERYBODY),
        Scenario("latency", "Latency at a given rate", "echo", (at_rate(100, 64, 5000),), ("shared", "epoll")),
        Scenario("ingest", "Clients to backend", "ingest", (packets(100, 64, 64),), ("shared", "epoll")),
        Scenario("egress", "Backend to clients", "egress", (packets(100, 64, 64),), ("shared", "epoll")),
        Scenario("one-to-all", "One packet to all clients", "one-to-all", (packets(100, 64, 1),), ("shared", "epoll")),
        Scenario("shards", "Scaling by shards", "echo", (packets(100, 64, 8),), ("shared", "shards2")),
        Scenario("idle", "Memory by clients", "idle", (connections(10), connections(1000)), ("shared", "epoll")),
        Scenario(
            "connect-storm", "New clients", "connect-storm", (connections(500),), ("shared", "epoll"), is_timed=False),
        Scenario(
            "reconnect-storm", "Returning clients", "reconnect-storm", (connections(500),), ("shared",),
            is_timed=False),
    )
