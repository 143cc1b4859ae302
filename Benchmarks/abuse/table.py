"""The results as tables, on the terminal and in the documentation."""

from .cost import HANDSHAKES, MODES, median
from .relay import ROOT

#: The results that the documentation shows, and where.
KEPT = ROOT / "Benchmarks/results/abuse.json"
DOCUMENT = ROOT / "Sources/Voltlane/Voltlane.docc/Security.md"
FIRST = "<!-- Made by `tools/abuse --docs` of Benchmarks/results/abuse.json. A test keeps them equal. -->"
LAST = "<!-- End of what tools/abuse prints. -->"


def render(document):
    machine = document["machine"]
    parts = [
        f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, {machine['time'][:10]}, commit "
        f"{machine['commit']}.", scenes(document["scenes"])]
    if document.get("costs"):
        parts.append(costs(document["costs"]))
    return "\n\n".join(parts)


def part(text):
    """What a document has now."""
    return text.split(FIRST)[1].split(LAST)[0].strip()


def write(document):
    before, rest = DOCUMENT.read_text().split(FIRST)
    DOCUMENT.write_text(f"{before}{FIRST}\n\n{render(document)}\n\n{LAST}{rest.split(LAST)[1]}")


def rows(heading, alignment, lines):
    return "\n".join("| " + " | ".join(each) + " |" for each in [heading, alignment, *lines])


def scenes(seen):
    return rows(
        ["Abuse", "Its cost to the relay", "Of a core", "Memory", "Neighbours' p50", "p99", "Counted"],
        ["---", "---:", "---:", "---:", "---:", "---:", "---"],
        [[
            f"**{each['name']}**: {each['title']}", f"{time(each['cpu_ns'])} a {each['unit']}",
            f"{each['cpu_share'] * 100:.1f} %", f"{max(0, each['memory']) / 2**20:.1f} MiB", change(each, "p50"),
            change(each, "p99"), counted(each)] for each in seen])


def time(nanoseconds):
    return f"{nanoseconds / 1000:.1f} µs" if nanoseconds >= 1000 else f"{nanoseconds:.0f} ns"


def change(scene, figure):
    """Without and with the offenders."""
    return f"{milliseconds(scene['without'][figure])} → {milliseconds(scene['with'][figure])} ms"


def milliseconds(seconds):
    return f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:.0f}"


def counted(scene):
    return ", ".join(f"{words(name)} {value:,}" for name, value in scene["counters"].items())


def words(name):
    """refusedAddressClients: refused address clients."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def costs(found):
    """Each cost, and how many of them a handshake makes."""
    known = {name: median(values) for name, values in found["handshakes"].items()}
    new, first = known["new client"], known["first return"]
    lines = [[title, time(known[name]), "", ""] for name, title in HANDSHAKES.items()]
    for title, modes in found["refused"].items():
        cells = [time(median(modes[mode])) for mode in MODES]
        lines.append([f"refused by {title}", *cells])
    each = [median(values) for modes in found["refused"].values() for values in modes.values()]
    return (
        rows(["CPU a connection", *(f"`--reject {mode}`" for mode in MODES)], ["---", "---:", "---:", "---:"], lines)
        + f"\n\nA new client's handshake costs {new / max(each):.1f} to {new / min(each):.1f} times what a refusal "
        f"costs, one for which a shared secret is computed {first / max(each):.1f} to {first / min(each):.1f} times. "
        f"Medians of {found['rounds']} rounds of {found['count']:,} connections.")
