"""The parts of the documentation that are made of a results file."""

from . import bounds, scaling
from .contenders import BENCHMARKS, ROOT
from .results import Refused

PAGES = ROOT / "Sources/Voltlane/Voltlane.docc"
#: The results that they show.
KEPT = BENCHMARKS / "results/kept.json"
FIRST = "<!-- Made by `tools/bench --readme` of Benchmarks/results/kept.json. A test keeps them equal. -->"
LAST = "<!-- End of what tools/bench prints. -->"
#: What the documents have figures of.
NEEDED = (
    "echo", "latency", "stalled", "crowd", "ingest", "egress", "one-to-all", "shards", "idle", "connect-storm",
    "reconnect-storm")


def ratios(results):
    machine, seconds = results.document["machine"], results.document["flags"]["seconds"]
    commits = results.commits()
    repeats = max(results.count("echo", cell, "shared") for cell in results.cells("echo"))
    return (
        f"Medians of {repeats} runs of {seconds:g} s each; {machine['cpu']}, {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}, {machine['time'][:10]}, commit{'s' if len(commits) > 1 else ''} "
        f"{', '.join(commits)}.\n\n"
        f"{bounds.render(results)}")


#: What is printed where.
DOCUMENTS = {
    PAGES / "Speed.md": ratios,
    PAGES / "Scaling.md": scaling.render,
}


def part(document):
    """What the document has now."""
    return document.read_text().split(FIRST)[1].split(LAST)[0].strip()


def check(results):
    """Raises Refused where the results are not fit to be shown."""
    machine, flags, measured = results.document["machine"], results.document["flags"], results.scenarios()
    unsaid = [name for name in ("cpu", "cpus", "kernel", "time", "commit") if name not in machine]
    missing = [name for name in NEEDED if name not in measured]
    if flags.get("quick"):
        raise Refused("--readme: these are the results of --quick, which are rough: measure without it")
    if flags.get("build") != "release":
        raise Refused("--readme: these are not the results of release builds")
    if unsaid or "seconds" not in flags:
        raise Refused(f"--readme: the file does not say the {', '.join(unsaid) or 'seconds'} of its runs")
    if missing:
        raise Refused(f"--readme: there are no runs of {', '.join(missing)}: add them with --resume")
    if not any(run["scenario"] == "echo" and run["contender"] == "shared" for run in results.runs):
        raise Refused("--readme: there are no runs of echo by shared: add them with --resume")


def write(results):
    """Keeps the results, and shows them. Nothing is written before everything is known to be fit."""
    check(results)
    texts = {}
    for document, text in DOCUMENTS.items():
        before, rest = document.read_text().split(FIRST)
        texts[document] = f"{before}{FIRST}\n\n{text(results)}\n\n{LAST}{rest.split(LAST)[1]}"
    results.save(KEPT)
    for document, text in texts.items():
        document.write_text(text)
