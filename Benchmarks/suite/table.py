"""The results as text: what one looks at first."""

from .figures import noise, ratio

#: What is compared in each scenario: figure, heading, and what one unit of the table is.
MAIN_FIGURE = {
    "latency": ("latency_p99_ns", "p99, us", 1e3),
    "libraries": ("packets_per_second", "packets a second", 1),
    "idle": ("relay_bytes_per_client", "B a client", 1),
}
#: What others may use of a CPU before a figure is marked.
QUIET = 0.1
CPU = ("relay_cpu_ns", "relay CPU, ns", 1)


def render(results):
    tables = "\n\n".join(scenario_table(results, scenario) for scenario in results.scenarios())
    note = f"*: other processes used more than {QUIET:.0%} of a CPU in half of the runs: measure again"
    return f"{tables}\n\n{note}" if "* |" in tables else tables


def scenario_table(results, scenario):
    """A Markdown table: a row a cell; for each contender the median, and how the first one stands to the others."""
    figure, heading, unit = MAIN_FIGURE.get(scenario, CPU)
    cells = {cell: results.samples(scenario, cell, figure) for cell in results.cells(scenario)}
    names = list(dict.fromkeys(name for samples in cells.values() for name in samples))
    if not names:
        return f"{scenario}: nothing was measured"
    first = names[0]
    rivals = [
        name for name in ("epoll", "floor", "own", "haproxy", "nginx", "nio", "nio-single", "swift-detached")
        if name in names
    ]
    rows = [
        [f"{scenario}: {heading}", *names, *(f"{first}/{rival}" for rival in rivals)],
        ["---"] * (1 + len(names) + len(rivals)),
    ]
    for cell, samples in cells.items():
        others = results.samples(scenario, cell, "other_processes_share")
        disturbed = {name for name, sample in others.items() if sample.median > QUIET}
        row = [cell]
        for name in names:
            mark = "*" if name in disturbed else ""
            row.append(f"{samples[name].median / unit:.0f}{mark}" if name in samples else "")
        for rival in rivals:
            known = first in samples and rival in samples
            row.append(against(samples[first], samples[rival], samples.get("again")) if known else "")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def against(one, other, again):
    """The ratio, and the noise where it is larger than what was found: 0.93, or 1.02 (+-0.04)."""
    found, limit = ratio(one, other), noise(one, other, again)
    return f"{found:.2f}" if abs(found - 1) > limit else f"{found:.2f} (±{limit:.2f})"
