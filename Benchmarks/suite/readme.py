"""The parts of README.md and of the documentation that are made of a results file."""

from . import bounds, scaling
from .contenders import BENCHMARKS, ROOT

#: The results that they show.
KEPT = BENCHMARKS / "results/kept.json"
FIRST = "<!-- Made by `tools/bench --readme` of Benchmarks/results/kept.json. A test keeps them equal. -->"
LAST = "<!-- End of what tools/bench prints. -->"


def ratios(results):
    machine, seconds = results.document["machine"], results.document["flags"]["seconds"]
    repeats = max(results.count("echo", cell, "shared") for cell in results.cells("echo"))
    return (
        f"Medians of {repeats} runs of {seconds:g} s each; {machine['cpu']}, {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}, {machine['time'][:10]}, commit {machine['commit']}.\n\n{bounds.render(results)}")


#: What is printed where.
DOCUMENTS = {
    ROOT / "README.md": ratios,
    ROOT / "Sources/Voltlane/Voltlane.docc/Scaling.md": scaling.render,
}


def part(document):
    """What the document has now."""
    return document.read_text().split(FIRST)[1].split(LAST)[0].strip()


def write(results):
    """Keeps the results, and shows them."""
    results.save(KEPT)
    for document, text in DOCUMENTS.items():
        before, rest = document.read_text().split(FIRST)
        document.write_text(f"{before}{FIRST}\n\n{text(results)}\n\n{LAST}{rest.split(LAST)[1]}")
