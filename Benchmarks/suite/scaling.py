"""What more threads cost, and from what a packet costs each of them: where the one firehose is full, and when it pays
to give it a CPU of its own.

With s and f the nanoseconds a packet of the shards and of the firehose, and k CPUs for the relay:

    firehose on its own CPU     min(1 / f, (k - 1) / s)     the firehose is full, or the k - 1 shards are
    sharing the first shard's   1 / (f + s / k)             that thread is full: all of f, and its part of s
"""

from . import bounds

#: Shards that a large machine might have.
SHARDS = (8, 16, 64)


def own(shard, firehose, cpus):
    """Packets a second, where the firehose has one of the CPUs."""
    return 1e9 * min(1 / firehose, (cpus - 1) / shard)


def shared(shard, firehose, cpus):
    """Packets a second, where the firehose shares the first of as many shards as there are CPUs."""
    return 1e9 / (firehose + shard / cpus)


def pays_from(shard, firehose):
    """From how many CPUs for the relay on a firehose of its own moves more."""
    return next(cpus for cpus in range(2, 1000) if own(shard, firehose, cpus) > shared(shard, firehose, cpus))


def rows(results):
    """Scenario, cell, and the medians of what a packet takes of the shard's thread and of the firehose's."""
    for scenario in ("ingest", "egress", "echo"):
        for cell in results.cells(scenario):
            clients, size, window = bounds.parts(cell)
            if clients < 100 or window == 1:
                continue
            threads = [
                results.samples(scenario, cell, lambda figures: figures["relay_threads_ns"][name]).get("own")
                for name in ("shard 0", "firehose")
            ]
            if all(threads):
                yield scenario, cell, size, threads[0].median, threads[1].median


def render(results):
    return f"{firehose_table(results)}\n\n{threads_table(results)}"


def firehose_table(results):
    table = [
        (
            "packets", "clients:size:window", "shard, ns", "firehose, ns", "firehose full at, packets/s", "MB/s",
            "by shards", *(f"busy, each of {shards}" for shards in SHARDS), "own CPU pays from",
        ),
        ("---",) * (8 + len(SHARDS)),
    ]
    for scenario, cell, size, shard, firehose in rows(results):
        full = 1e9 / firehose
        table.append((
            scenario, cell, f"{shard:.0f}", f"{firehose:.0f}", f"{full:,.0f}", f"{full * (size + 13) / 1e6:,.0f}",
            f"{shard / firehose:.1f}", *(f"{shard / firehose / shards:.0%}" for shards in SHARDS),
            f"{pays_from(shard, firehose)} CPUs",
        ))
    return bounds.as_table(table)


def threads_table(results):
    """What a round trip costs a relay with one thread and with several, where all of them have two CPUs together."""
    table = [
        ("clients:size:window", "relay", "CPU, ns", "sleeps", "system calls", "a second"),
        ("---",) * 6,
    ]
    figures = (
        ("relay_cpu_ns", "{:,.0f}"), ("relay_voluntary_switches", "{:.3f}"), ("relay_system_calls", "{:.3f}"),
        ("packets_per_second", "{:,.0f}"),
    )
    for cell in results.cells("shards"):
        samples = [(results.samples("shards", cell, figure), form) for figure, form in figures]
        for name in samples[0][0]:
            title = results.document["contenders"][name]["title"].removeprefix("voltlane, ")
            table.append((cell, title, *(
                form.format(sample[name].median) if name in sample else "" for sample, form in samples)))
    return bounds.as_table(table)
