"""What the figures are held to, and where they fall short."""

from dataclasses import dataclass, field, replace
from math import inf

from .figures import Sample, noise, ratio

CPU = "relay_cpu_ns"
#: Packets that go one way: not in the grid of round trips.
ONE_WAY = ("ingest", "egress", "one-to-all")
#: Completed handshakes a second and core, three times those of a relay of the same protocol on tokio and k256.
HANDSHAKES = 3 * 3550


def machine(figures):
    """CPU time of the whole machine. The kernel counts it in ticks, and less than there was where threads sleep often:
    what the relay, the load and the softirq threads had is known better, and is the least of it."""
    known = figures[CPU] + figures["generator_cpu_ns"] + figures["machine_softirq_threads_ns"]
    return max(figures["machine_cpu_ns"], known)


# The most that a round trip may cost as a part of a rival's, by clients, size and window.


def epoll_limit(*cell):
    return 0.75 if cell == (1000, 64, 1) else 1


def floor_limit(clients, size, window):
    return 1.15 if size == 16384 else 1.1


def own_limit(clients, size, window):
    return 1.25 if clients >= 100 else inf


def default_limit(*cell):
    return 1.05


def single_limit(clients, size, window):
    return 0.1 if size == 64 and window >= 8 else inf


@dataclass(frozen=True)
class Finding:
    """What was measured in one place, and the most (or least) that it may be."""

    place: str
    value: float
    limit: float
    noise: float = 0.0
    is_least: bool = False
    #: Whether the noise is that of a ratio of equal programs; else it is only shown.
    noise_counts: bool = True

    @property
    def holds(self):
        if self.is_least:
            return self.value >= self.limit
        # Where noise alone can make two equal programs differ by more than the limit allows, noise is the limit.
        counts = self.noise_counts and self.limit >= 1
        return self.value <= (max(self.limit, 1 + self.noise) if counts else self.limit)

    @property
    def excess(self):
        """Above 1 where it falls short."""
        return self.limit / self.value if self.is_least else self.value / self.limit


@dataclass(frozen=True)
class Bound:
    """One thing that is asked of the relay."""

    title: str
    limit: str
    findings: list = field(default_factory=list)
    #: How a value is written.
    form: str = "{:.2f}"

    @property
    def worst(self):
        return max(self.findings, key=lambda finding: (finding.excess, finding.value))

    @property
    def met(self):
        """In words; nothing where nothing is asked."""
        count, short = len(self.findings), len(self.short)
        if not self.limit:
            return ""
        if not count:
            return "not measured"
        return "yes" if not short else f"in {count - short} of {count}" if count > 1 else "no"

    @property
    def short(self):
        return [finding for finding in self.findings if not finding.holds]

    def shown(self, finding):
        spread = f" ±{finding.noise:.2f}" if finding.noise >= 0.005 else ""
        return f"{self.form.format(finding.value)}{spread}"


def parts(cell):
    """Clients, size and window of a cell of round trips."""
    return tuple(int(part) for part in cell.split(":"))


def against(results, rival, limit_of, figure=CPU, name="shared", where=lambda *_: True):
    """The ratio of two contenders in each cell of round trips that `where` picks."""
    return [
        finding
        for cell in results.cells("echo") if where(*parts(cell))
        for finding in side_by_side(results, "echo", cell, rival, limit_of(*parts(cell)), figure, name)
    ]


def side_by_side(results, scenario, cell, rival, limit, figure=CPU, name="shared"):
    """The ratio of two contenders in a cell, where both were measured."""
    samples = results.samples(scenario, cell, figure)
    if name not in samples or rival not in samples:
        return []
    one, other = samples[name], samples[rival]
    itself = samples.get("again") if name == "shared" else None
    return [Finding(cell, ratio(one, other), limit, noise(one, other, itself))]


def one_way(results, rival, limit, figure=CPU, name="shared"):
    """The ratio of two contenders where packets go one way."""
    return [
        replace(finding, place=f"{scenario} {finding.place}")
        for scenario in ONE_WAY
        for cell in results.cells(scenario)
        for finding in side_by_side(results, scenario, cell, rival, limit, figure, name)
    ]


def change(results, scenario, figure, name):
    """By what factor a figure of a contender changed from the first cell of a scenario to the last, run by run."""
    cells = results.cells(scenario)
    if len(cells) < 2:
        return Sample([])
    first, last = (results.samples(scenario, cell, figure).get(name) for cell in (cells[0], cells[-1]))
    if not first or not last:
        return Sample([])
    return Sample([after / before for before, after in zip(first.values, last.values)])


def sparse(results, limit, name="shared"):
    """Packets that come one by one, from ever more clients."""
    return [
        finding
        for cell in results.cells("crowd")
        for finding in side_by_side(results, "crowd", cell, "epoll", limit, name=name)
    ]


def grown(results, limit, name="shared"):
    """How much more a packet costs from many clients than from few, beyond what the yardstick says of that."""
    ours, itself, yardstick = (change(results, "crowd", CPU, name) for name in (name, "again", "epoll"))
    if not ours or not yardstick:
        return []
    cells = results.cells("crowd")
    place = f"{cells[0]} to {cells[-1]}"
    return [Finding(place, ratio(ours, yardstick), limit, noise(ours, yardstick, itself or None))]


def disturbed(results, limit):
    """What stalled clients change for the others."""
    ours, itself = (change(results, "stalled", "latency_p99_ns", name) for name in ("shared", "again"))
    if not ours:
        return []
    spread = max(ours.spread, abs(ratio(ours, itself) - 1) if itself else 0)
    return [Finding(results.cells("stalled")[-1], ours.median, limit, spread)]


def tail(results, limit, name="shared", place="half load"):
    def by_median(figures):
        return figures["latency_p99_ns"] / figures["latency_p50_ns"]

    return [
        Finding(cell, samples[name].median, limit, spread(samples, name), noise_counts=False)
        for cell in results.cells("latency") if place in cell
        for samples in [results.samples("latency", cell, by_median)] if name in samples
    ]


def spread(samples, name):
    """Between the runs of a program, or between the relay and itself: in the figure's own unit."""
    one, itself = samples[name], samples.get("again") if name == "shared" else None
    return max(one.spread * one.median, abs(one.median - itself.median) if itself else 0)


def unhurried(results, figure):
    """One client at low load against the epoll relay: in the grid, in longer runs, and with a packet now and then."""
    def lone(*cell):
        return cell == (1, 64, 1)

    def limit(*_):
        return 1

    return against(results, "epoll", limit, figure, where=lone) + [
        replace(finding, place=f"latency {finding.place}")
        for cell in results.cells("latency") if cell.startswith("1:")
        for finding in side_by_side(results, "latency", cell, "epoll", 1, figure)
    ]


def user_share(results, limit):
    def share(figures):
        return 100 * figures["relay_user_share"]

    return [
        Finding(cell, samples["shared"].median, limit)
        for cell in results.cells("echo")
        for samples in [results.samples("echo", cell, share)] if "shared" in samples
    ]


def single(results, scenario, figure, limit, is_least=False):
    """A figure of the relay itself in the last cell of a scenario."""
    return [
        Finding(cell, samples["shared"].median, limit, is_least=is_least)
        for cell in results.cells(scenario)[-1:]
        for samples in [results.samples(scenario, cell, figure)] if "shared" in samples
    ]


def documented(results, limit):
    """The documented loops of the Swift libraries against the same ones in a detached task."""
    return [
        Finding(cell, found.value, limit, found.noise, is_least=True)
        for cell in results.cells("libraries")
        for found in side_by_side(results, "libraries", cell, "swift-detached", limit, "packets_per_second", "swift")
    ]


def by_multicast(results, figure, limit):
    """What a delivered packet costs by multicast, as a part of what it costs one by one, in the same run."""
    findings = []
    for cell in results.cells("multicast"):
        plain, *rest = cell.split(" ")
        if not rest:
            continue
        ours, others = (results.samples("multicast", each, figure).get("shared") for each in (cell, plain))
        again = results.samples("multicast", cell, figure).get("again")
        if ours and others:
            findings.append(Finding(plain, ratio(ours, others), limit, noise(ours, others, again)))
    return findings


def a_core(figures):
    """How many a second one core does."""
    return 1e9 / figures[CPU]


def secret_only(figures):
    """How many shared secrets a second one core could compute. Later returns find theirs computed."""
    first, later = (figures["phases"][phase][CPU] for phase in (1, 2))
    return 1e9 / (first - later)


def returns(results):
    """A first return is bounded by its shared secret; half as many are asked, because it is a connection as well."""
    most = single(results, "reconnect-storm", secret_only, 0)
    return [
        Finding(finding.place, finding.value, bound.value / 2, is_least=True)
        for finding, bound in zip(single(results, "reconnect-storm", a_core, 0), most)
    ]


def instructions(results, limit):
    """Pipelined packets by the budgets, which tools/check-instructions holds the relay to."""
    return [
        Finding(f"{direction}, {clients} client{'s' if clients != '1' else ''}", float(budget), limit)
        for direction, clients, _, packets_a_receive, budget in results.document["machine"].get("budgets", ())
        if packets_a_receive != "1"
    ]


def all_bounds(results):
    def small(clients, size, window):
        return size < 16384

    def large(clients, size, window):
        return size == 16384

    def busy(clients, size, window):
        return clients >= 100

    def pipelined(clients, size, window):
        return size == 64 and window >= 8

    def crowd(*cell):
        return cell == (1000, 64, 1)

    def others(*cell):
        return not crowd(*cell)

    # Not in files of before it was a contender.
    over_epoll = Bound(
        "relay CPU over epoll against the epoll relay", "1.00",
        against(results, "epoll", lambda *_: 1, name="epoll-kernel")
        + one_way(results, "epoll", 1, name="epoll-kernel"))
    half_load = Bound("p99 at half load as a multiple of p50", "3", tail(results, 3))
    return [
        Bound(
            "relay CPU against the floor, 64 B and 1 KiB", "1.10",
            against(results, "floor", floor_limit, where=small)),
        Bound("the same, 16 KiB", "1.15", against(results, "floor", floor_limit, where=large)),
        Bound("relay CPU against the epoll relay", "1.00", against(results, "epoll", epoll_limit, where=others)),
        Bound(
            "the same, 1,000 clients with one small packet each", "0.75",
            against(results, "epoll", epoll_limit, where=crowd)),
        Bound("the same, packets one way", "1.00", one_way(results, "epoll", 1)),
        Bound(
            "relay CPU with the default flags against the epoll relay", "1.00",
            against(results, "epoll", epoll_limit, name="default") + one_way(results, "epoll", 1, name="default")),
        *([over_epoll] if over_epoll.findings else ()),
        Bound(
            "relay CPU with the default flags against one thread", "1.05",
            against(results, "shared", default_limit, name="default")
            + one_way(results, "shared", 1.05, name="default")),
        Bound(
            "CPU of the whole machine against the floor, 64 B and 1 KiB", "1.10",
            against(results, "floor", floor_limit, machine, where=small)),
        Bound("the same, 16 KiB", "1.15", against(results, "floor", floor_limit, machine, where=large)),
        Bound(
            "CPU of the whole machine against the epoll relay", "1.00",
            against(results, "epoll", epoll_limit, machine, where=others)),
        Bound(
            "the same, 1,000 clients with one small packet each", "0.75",
            against(results, "epoll", epoll_limit, machine, where=crowd)),
        Bound(
            "relay CPU with the firehose on its own thread against a shared one, from 100 clients", "1.25",
            against(results, "shared", own_limit, name="own", where=busy)
            + one_way(results, "shared", 1.25, name="own")),
        Bound(
            "relay CPU against a packet a call (SwiftNIO), 64 B, windows of 8 and more", "0.10",
            against(results, "nio-single", single_limit, where=pipelined)),
        Bound("user-space share of the relay CPU, 64 B, window 1, in %", "7", user_share(results, 7), "{:.1f}"),
        Bound("user-space instructions a packet, pipelined", "150", instructions(results, 150), "{:.0f}"),
        Bound(
            "round trip of a lone client, p50, against the epoll relay", "1.00",
            unhurried(results, "latency_p50_ns")),
        Bound("the same, p99", "1.00", unhurried(results, "latency_p99_ns")),
        half_load,
        *(
            Bound(f"the same of {title} there, to compare", "", tail(results, inf, name, half_load.worst.place))
            for title, name in (("the epoll relay", "epoll"), ("the floor", "floor")) if half_load.findings
        ),
        Bound("p99 of the others with one client in ten stalled, against none", "1.10", disturbed(results, 1.1)),
        Bound("memory of an idle client in B", "512", single(results, "idle", "relay_bytes_per_client", 512), "{:.0f}"),
        Bound(
            "handshakes a second and core, at least", f"{HANDSHAKES:,}",
            single(results, "connect-storm", a_core, HANDSHAKES, is_least=True), "{:,.0f}"),
        Bound(
            "first returns a second and core, at least", "half of what its shared secret alone allows",
            returns(results), "{:,.0f}"),
        Bound("relay CPU at 20,000 packets a second against the epoll relay", "1.00", sparse(results, 1)),
        Bound("the same with `--coalesce-time 0`", "1.00", sparse(results, 1, "prompt")),
        Bound(
            "relay CPU at 20,000 packets a second with 16 shards against one", "1.10",
            [
                finding
                for cell in results.cells("crowd")
                for finding in side_by_side(results, "crowd", cell, "shared", 1.1, name="shards16")
            ]),
        Bound("CPU a packet, 10,000 clients against 10, beyond the epoll relay's", "1.05", grown(results, 1.05)),
        Bound("the same with `--coalesce-time 0`", "1.05", grown(results, 1.05, "prompt")),
        Bound(
            "relay CPU a packet to 1,000 clients by multicast, against one by one", "1.00",
            by_multicast(results, CPU, 1)),
        Bound("the same of the backend", "0.05", by_multicast(results, "backend_cpu_ns", 0.05), "{:.3f}"),
        Bound("the same of bytes over the firehose", "", by_multicast(results, "firehose_bytes", inf)),
        Bound(
            "packets a second of a Swift library's documented loop against a detached task, at least", "0.80",
            documented(results, 0.8)),
    ]


# ---- as Markdown ----------------------------------------------------------------------------------------------------

#: Rivals of the grid: heading, who is compared with whom, and the limit.
RIVALS = (
    ("/ epoll relay", "shared", "epoll", epoll_limit),
    ("/ floor", "shared", "floor", floor_limit),
    ("default flags / epoll", "default", "epoll", epoll_limit),
    ("own thread / shared", "own", "shared", own_limit),
    ("/ packet a call", "shared", "nio-single", single_limit),
)


def render(results):
    """Both tables: what is asked, and the round trips cell by cell. Bold falls short."""
    return f"{bounds_table(results)}\n\n{grid(results)}"


def bounds_table(results):
    rows = [("What", "At most", "Worst", "Where", "Met"), ("---",) * 5]
    for bound in all_bounds(results):
        worst, place = (bound.shown(bound.worst), bound.worst.place) if bound.findings else ("", "")
        rows.append((bound.title, bound.limit, worst, place, f"**{bound.met}**" if bound.short else bound.met))
    return as_table(rows)


def grid(results):
    head = ("clients:size:window", "relay CPU, us", *(heading for heading, *_ in RIVALS))
    rows = [head, ("---",) * len(head)]
    for cell in results.cells("echo"):
        samples = results.samples("echo", cell, CPU)
        if "shared" not in samples:
            continue
        row = [cell, f"{samples['shared'].median / 1000:.2f}"]
        for _, name, rival, limit_of in RIVALS:
            found = against(
                results, rival, limit_of, name=name, where=lambda *which, here=parts(cell): which == here)
            row.append(in_grid(found[0]) if found else "")
        rows.append(tuple(row))
    return as_table(rows)


def in_grid(finding):
    shown = f"{finding.value:.2f}" if finding.value >= 0.095 else f"{finding.value:.3f}"
    if abs(finding.value - 1) <= finding.noise:
        shown += f" (±{finding.noise:.2f})"
    return shown if finding.holds else f"**{shown}**"


def as_table(rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
