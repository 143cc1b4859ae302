"""What is measured: scenarios, each with its cells and contenders."""

from dataclasses import dataclass

VOLTLANE_AND_YARDSTICK = ("shared", "again", "default", "epoll")
#: The contenders that are measured in every cell.
CORE = ("shared", "again", "default", "epoll-kernel", "own", "epoll", "floor")
#: The libraries, and the Swift ones in loops written in different ways.
LIBRARIES = ("swift", "swift-detached", "swift-batches", "python", "python-batches", "c")
#: What one could use or write instead; a few cells say it.
PEERS = ("nio", "nio-single", "haproxy", "nginx")


@dataclass(frozen=True)
class Cell:
    """A row of a scenario: how it is called, and what voltlane-bench is told."""

    name: str
    arguments: tuple
    #: Programs that take part besides the scenario's contenders.
    also: tuple = ()
    #: What makes it a run at half load: what a run before it is told, to find how many packets a second there can be.
    capacity: tuple = ()

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
    #: How many times as long as other runs: for figures about rare packets.
    stretch: float = 1
    #: At most so many repeats: for figures that hardly differ.
    most_repeats: int = 1000
    #: Whether its cells take turns as well, because they are compared with one another.
    compares_cells: bool = False

    def runs(self, repeats):
        """Cell, contender, repeat, in turn."""
        repeats = range(min(repeats, self.most_repeats))
        if self.compares_cells:
            turns = ((cell, repeat) for repeat in repeats for cell in self.cells)
        else:
            turns = ((cell, repeat) for cell in self.cells for repeat in repeats)
        for cell, repeat in turns:
            for contender in (*self.contenders, *cell.also):
                yield cell, contender, repeat


def packets(clients, size, window, also=()):
    arguments = ("--clients", str(clients), "--size", str(size), "--window", str(window))
    if (size, window) == (64, 1):
        arguments += ("--sample-user-share",)
    return Cell(f"{clients}:{size}:{window}", arguments, also)


def counted(cell):
    """The same, and the relay's system calls."""
    return Cell(cell.name, (*cell.arguments, "--count-system-calls"), cell.also, cell.capacity)


def at_rate(clients, size, rate, stalled=0):
    arguments = ("--clients", str(clients), "--size", str(size), "--rate", str(rate))
    name = f"{clients}:{size} at {rate}/s"
    if not stalled:
        return Cell(name, arguments)
    return Cell(f"{name}, {stalled} stalled", (*arguments, "--stalled", str(stalled)))


def at_half_load(clients, size):
    """Everybody at half of what it can do itself with one packet a client under way."""
    return Cell(
        f"{clients}:{size} at half load", ("--clients", str(clients), "--size", str(size)), capacity=("--window", "1"))


def connections(clients):
    return Cell(str(clients), ("--clients", str(clients)))


def library_loops():
    """A backend that answers every packet with itself, and a client that only sends: 64 B each."""
    return (Cell("shout", ("shout",)), Cell("send", ("send",)))


def to_all(clients):
    """Each packet once for each client, and each packet once for all of them."""
    for size in (64, 1024):
        arguments = ("--clients", str(clients), "--size", str(size), "--window", "1")
        yield Cell(f"{clients}:{size}", arguments)
        yield Cell(f"{clients}:{size} multicast", (*arguments, "--multicast"))


def round_trips():
    """The grid; peers take part where they say most."""
    for clients in (1, 10, 100, 1000):
        for size in (64, 1024, 16384):
            for window in (1, 8, 64):
                name = (clients, size, window)
                if name in {(100, 64, 1), (100, 64, 8), (100, 64, 64), (1000, 64, 1), (100, 16384, 8)}:
                    yield packets(*name, PEERS)
                elif size == 64 and window > 1:
                    yield packets(*name, ("nio-single",))
                else:
                    yield packets(*name)


def full():
    return (
        Scenario("echo", "Round trips, by clients:size:window", "echo", tuple(round_trips()), CORE),
        Scenario(
            "latency", "Latency, at a rate from the moment when each packet was due", "echo",
            (packets(1, 64, 1), at_rate(1, 64, 1000), at_half_load(100, 64), at_half_load(1000, 64)),
            (*VOLTLANE_AND_YARDSTICK, "floor"), stretch=2),
        Scenario(
            "stalled", "Latency of the others, while some clients do not read", "echo",
            (at_rate(100, 1024, 10000), at_rate(100, 1024, 10000, stalled=10)), VOLTLANE_AND_YARDSTICK, stretch=3,
            compares_cells=True),
        Scenario(
            "crowd", "The same packets a second from more and more clients", "echo",
            tuple(at_rate(clients, 64, 20000) for clients in (10, 100, 1000, 10000)),
            (*VOLTLANE_AND_YARDSTICK, "prompt", "shards16"),
            compares_cells=True),
        Scenario(
            "ingest", "Clients to backend", "ingest", (packets(100, 64, 64), packets(100, 16384, 8)),
            (*VOLTLANE_AND_YARDSTICK, "own")),
        Scenario(
            "egress", "Backend to clients", "egress", (packets(100, 64, 64), packets(100, 16384, 8)),
            (*VOLTLANE_AND_YARDSTICK, "own")),
        Scenario(
            "one-to-all", "One packet to all clients", "one-to-all", (packets(1000, 64, 1),),
            (*VOLTLANE_AND_YARDSTICK, "own")),
        Scenario(
            "multicast", "One packet to all clients, one by one and by multicast", "one-to-all", tuple(to_all(1000)),
            ("shared", "again"), compares_cells=True),
        Scenario(
            "shards", "More threads than one", "echo",
            tuple(counted(packets(*cell)) for cell in ((1, 64, 1), (100, 64, 8), (100, 64, 64), (1000, 64, 1))),
            ("shared", "default", "own", "shards2", "shards4")),
        Scenario(
            "idle", "Memory by clients", "idle", (connections(10), connections(1000), connections(10000)),
            ("shared", "epoll", "nio"), most_repeats=2),
        Scenario(
            "connect-storm", "New clients", "connect-storm", (connections(10000),), VOLTLANE_AND_YARDSTICK,
            is_timed=False),
        Scenario(
            "reconnect-storm", "Returning clients", "reconnect-storm", (connections(5000),), ("shared", "again"),
            is_timed=False),
        Scenario("libraries", "Packets a second through the libraries", "", library_loops(), LIBRARIES),
    )


def quick():
    """A few cells of everything: shows that the suite works, and little else."""
    both = ("shared", "default", "epoll")
    return (
        Scenario(
            "echo", "Round trips, by clients:size:window", "echo",
            (packets(1, 64, 1), packets(1, 64, 64), packets(100, 64, 1), packets(100, 64, 64, PEERS)), CORE),
        Scenario("latency", "Latency", "echo", (packets(1, 64, 1), at_half_load(100, 64)), both),
        Scenario(
            "stalled", "Latency of the others, while some clients do not read", "echo",
            (at_rate(20, 1024, 2000), at_rate(20, 1024, 2000, stalled=2)), both, compares_cells=True),
        Scenario(
            "crowd", "The same packets a second from more and more clients", "echo",
            (at_rate(10, 64, 5000), at_rate(500, 64, 5000)), (*both, "prompt", "shards16"), compares_cells=True),
        Scenario("ingest", "Clients to backend", "ingest", (packets(100, 64, 64),), both),
        Scenario("egress", "Backend to clients", "egress", (packets(100, 64, 64),), both),
        Scenario("one-to-all", "One packet to all clients", "one-to-all", (packets(100, 64, 1),), both),
        Scenario(
            "multicast", "One packet to all clients, one by one and by multicast", "one-to-all", tuple(to_all(100)),
            ("shared",), compares_cells=True),
        Scenario(
            "shards", "More threads than one", "echo", (counted(packets(100, 64, 8)),),
            ("shared", "default", "own", "shards2", "shards4")),
        Scenario("idle", "Memory by clients", "idle", (connections(10), connections(1000)), both),
        Scenario("connect-storm", "New clients", "connect-storm", (connections(500),), both, is_timed=False),
        Scenario(
            "reconnect-storm", "Returning clients", "reconnect-storm", (connections(500),), ("shared",),
            is_timed=False),
        Scenario("libraries", "Packets a second through the libraries", "", library_loops(), LIBRARIES),
    )
