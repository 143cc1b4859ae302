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
    # Scenes that were played again are of another commit than the rest.
    measured = [*document["scenes"], *([document["costs"]] if document.get("costs") else [])]
    commits = list(dict.fromkeys(each["commit"] for each in measured))
    parts = [
        f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, {machine['time'][:10]}, commit "
        f"{' and '.join(commits)}.", scenes(document["scenes"])]
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
    if nanoseconds >= 1e6:
        return f"{nanoseconds / 1e6:.1f} ms"
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
    handshakes = {name: median(values) for name, values in found["handshakes"].items()}
    refused = {title: [median(modes[mode]) for mode in MODES] for title, modes in found["refused"].items()}
    floods = {title: median(values) for title, values in found["floods"].items()}
    lines = [[title, time(handshakes[name]), "", ""] for name, title in HANDSHAKES.items()]
    lines += [[f"refused by {title}", *map(time, costs)] for title, costs in refused.items()]
    lines += [[f"an attempt in a flood of one address: {title}", time(each), "", ""] for title, each in floods.items()]
    return (
        rows(["CPU a connection", *(f"`--reject {mode}`" for mode in MODES)], ["---", "---:", "---:", "---:"], lines)
        + "\n\n" + times(handshakes["new client"], handshakes["first return"], sum(refused.values(), []), floods)
        + f" Medians of {found['rounds']} rounds of {found['count']:,} connections; of ten times as many in a flood.")


def times(new, first, refused, floods):
    return (
        f"A new client's handshake costs {new / max(refused):.1f} to {new / min(refused):.1f} times what one refusal "
        f"costs, one for which a shared secret is computed {first / max(refused):.1f} to {first / min(refused):.1f} "
        f"times; and {new / max(floods.values()):.0f} times or more what an attempt in a flood of one address does.")
