"""One abuse: who does it, what it costs the relay, what the neighbours notice, and what must have been counted."""

import time
from dataclasses import dataclass, field
from typing import Callable, Sequence

from .crowd import Crowd
from .relay import PATIENCE, Helper, Relay, tcp_memory


#: What is shown of the counters besides refusals, ends, and whom a rate slows.
OTHERS = (
    "bans", "addressesShunned", "clientsUncounted", "handshakesMalformed", "reconnections", "reconnectionsRefused",
    "acceptPauses")


@dataclass
class Scene:
    name: str
    #: A line for the reader of the table.
    title: str
    #: `play(stage)` lets the offenders do what they do.
    play: Callable
    #: `check(stage)` says what is wrong with what was counted. Each complaint is a line.
    check: Callable
    #: Of the relay. Those of the small form take the place of the others.
    flags: Sequence[str] = ()
    small_flags: Sequence[str] = None
    #: What the cost is divided by: `connection` or `packet`.
    unit: str = "connection"
    #: Whether somebody who comes now must get in.
    welcomes: bool = True
    needs_ipv6: bool = False


@dataclass
class Sizes:
    """How large a scene is. The small form says whether it still works, and takes no times."""
    is_small: bool

    def __call__(self, full, small):
        return small if self.is_small else full

    @property
    def residents(self):
        return self(20, 3)

    @property
    def rate(self):
        return self(500, 50)

    @property
    def newcomers(self):
        return self(10, 20)

    @property
    def quiet(self):
        """Seconds without the offenders."""
        return self(4, 0.15)


@dataclass
class Stage:
    """What a scene plays on, and afterwards what was seen."""
    relay: Relay
    addresses: object
    sizes: Sizes
    crowd: Crowd
    #: What the offenders did, in units of the scene; by default connections.
    units: int = 0
    #: The most that the relay held, and what it held before.
    peak: int = 0
    base: int = 0
    #: The same with what the kernel held for TCP: for the offenders, the neighbours and whoever else is on the machine.
    peak_with_kernel: int = 0
    base_with_kernel: int = 0
    #: What the neighbours saw without the offenders, and with them.
    windows: Sequence[dict] = ()
    counters: dict = field(default_factory=dict)
    ended: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def __post_init__(self):
        self.begin()

    def begin(self):
        """What is held from now on is the offenders' doing."""
        self.base = self.peak = self.relay.memory()
        self.base_with_kernel = self.peak_with_kernel = self.base + tcp_memory()

    def run(self, script, count, seconds, **options):
        self.crowd.run(script, count, seconds, watch=self.look, **options)

    def settle(self, is_done):
        """Lets everything go on until that holds, or never will."""
        deadline = time.monotonic() + PATIENCE
        while not is_done() and time.monotonic() < deadline:
            self.crowd.turn(0.02)
            self.look()

    def look(self):
        memory = self.relay.memory()
        self.peak = max(self.peak, memory)
        self.peak_with_kernel = max(self.peak_with_kernel, memory + tcp_memory())

    def counted(self, *names):
        return sum(self.counters.get(name, 0) for name in names)

    def heard(self, *reasons):
        """How many sessions ended for these reasons, as the backend was told."""
        return sum(self.ended.get(reason, 0) for reason in reasons)


def perform(scene, program, addresses, sizes):
    """What was seen, for the results. Its `complaints` are empty where all was right."""
    flags = scene.small_flags if sizes.is_small and scene.small_flags is not None else scene.flags
    with Relay(program, addresses, flags) as relay:
        neighbours = Helper(
            "abuse.neighbour", *relay.address, addresses.network, sizes.residents, sizes.rate,
            sizes.newcomers if scene.welcomes else 0)
        try:
            return observe(scene, Stage(relay, addresses, sizes, Crowd(relay.address, relay.address6)), neighbours)
        finally:
            neighbours.end()


def observe(scene, stage, neighbours):
    relay = stage.relay
    time.sleep(stage.sizes(0.5, 0.05))
    neighbours.ask("begin")
    quiet_cpu = relay.cpu()
    time.sleep(stage.sizes.quiet)
    quiet_cpu = relay.cpu() - quiet_cpu
    without = neighbours.ask("next")
    stage.begin()
    before = relay.counters()

    start, cpu = time.monotonic(), relay.cpu()
    scene.play(stage)
    # Where all is over at once, the neighbours have yet to see anything.
    time.sleep(max(0.0, start + stage.sizes(1, 0.25) - time.monotonic()))
    cpu, seconds = relay.cpu() - cpu, time.monotonic() - start
    during = neighbours.ask("next")
    stage.windows = (without, during)
    stage.look()
    stage.endings = dict(stage.crowd.endings, open=stage.crowd.open)
    after = relay.counters()
    stage.counters = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    stage.crowd.stop()
    last = neighbours.ask("end")
    stage.ended = relay.backend.ask("ended")

    units = stage.units or stage.crowd.started
    own = max(0.0, cpu - quiet_cpu / without["seconds"] * seconds)
    return {
        "name": scene.name, "title": scene.title, "flags": list(
            scene.small_flags if stage.sizes.is_small and scene.small_flags is not None else scene.flags),
        "unit": scene.unit, "units": units, "connections": stage.crowd.started, "seconds": seconds,
        "cpu_ns": own / units, "cpu_share": own / seconds / 1e9,
        "memory": stage.peak - stage.base, "memory_each": (stage.peak - stage.base) / max(1, stage.crowd.started),
        "endings": stage.endings,
        "counters": {name: value for name, value in stage.counters.items()
                     if name.startswith(("refused", "ended", "slowed")) or name in OTHERS},
        "reasons": {name: value for name, value in stage.ended.items() if name not in ("packets", "reconnections")},
        "without": without, "with": during, "notes": stage.notes,
        "complaints": scene.check(stage) + unharmed(scene, (without, during, last)),
    }


def unharmed(scene, windows):
    """What the neighbours complain about."""
    complaints = []
    if sum(each["faults"] for each in windows):
        complaints.append("a neighbour's packets came back changed, or its connection ended")
    if windows[-1]["lost"]:
        complaints.append(f"{windows[-1]['lost']} of the neighbours' packets did not come back")
    if not sum(each["packets"] for each in windows[:2]):
        complaints.append("the neighbours exchanged nothing")
    if scene.welcomes and sum(each["turned_away"] for each in windows):
        complaints.append(f"{sum(each['turned_away'] for each in windows)} newcomers did not get in")
    if scene.welcomes and not windows[1]["newcomers"]:
        complaints.append("no newcomer came meanwhile")
    return complaints


def must(holds, text):
    return [] if holds else [text]


def equal(name, found, expected):
    return must(found == expected, f"{name}: {found} where {expected} were expected")
