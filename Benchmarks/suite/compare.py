"""What moved beyond the noise between two results files.

Figures of different hours differ by more than most changes do, so where both files have the yardstick in a cell, what
is compared is each program's figure as a part of the yardstick's in the same file.
"""

from .figures import ratio, ratios

YARDSTICK = "epoll"
#: Figure, what it is called, and whether more is better.
FIGURES = (
    ("relay_cpu_ns", "CPU a packet", False),
    ("packets_per_second", "packets a second", True),
    ("latency_p99_ns", "p99", False),
    ("relay_bytes_per_client", "memory a client", False),
)

def moves(old, new):
    """Every figure that both files have: scenario, cell, contender, figure, change as a factor, noise."""
    for scenario in new.scenarios():
        for cell in new.cells(scenario):
            for figure, title, more_is_better in FIGURES:
                before, after = old.samples(scenario, cell, figure), new.samples(scenario, cell, figure)
                for name in after:
                    if name not in before or name == YARDSTICK or not before[name].median:
                        continue
                    change, limit = compare_samples(name, before, after)
                    yield scenario, cell, name, title, change, limit, (change > 1) == more_is_better


def compare_samples(name, before, after):
    itself = "again" if name == "shared" else None
    if YARDSTICK in before and YARDSTICK in after and before[YARDSTICK].median and after[YARDSTICK].median:
        change = ratio(after[name], after[YARDSTICK]) / ratio(before[name], before[YARDSTICK])
        return change, sum(reach(s[name], s[YARDSTICK], s.get(itself)) for s in (before, after))
    return after[name].median / before[name].median, before[name].reach + after[name].reach


def reach(one, other, itself):
    """How far the ratio of two programs may be off. Of few runs the quartiles are closer than chance is."""
    return max(ratios(one, other).reach, abs(ratio(one, itself) - 1) if itself else 0.0)


def render(old, new):
    all_moves = list(moves(old, new))
    beyond = [move for move in all_moves if abs(move[4] - 1) > move[5]]
    lines = [f"{len(all_moves)} figures in both, {len(beyond)} moved beyond the noise"]
    for difference in old.differing(new.document["machine"], new.document["flags"]):
        lines.append(f"compare with care: {difference}")
    for scenario, cell, name, title, change, limit, is_better in beyond:
        lines.append(
            f"  {'better' if is_better else 'WORSE '} {scenario} {cell}: {name}: {title} {change - 1:+.1%}"
            f" (noise {limit:.1%})")
    return "\n".join(lines)
