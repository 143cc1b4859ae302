"""The part of README.md that is made of a results file."""

from . import bounds
from .contenders import ROOT

README = ROOT / "README.md"
FIRST = "<!-- Printed by `tools/bench --readme`. A test keeps this equal to the results. -->"
LAST = "<!-- End of what tools/bench prints. -->"


def text(results):
    machine, seconds = results.document["machine"], results.document["flags"]["seconds"]
    repeats = max(results.count("echo", cell, "shared") for cell in results.cells("echo"))
    return (
        f"Medians of {repeats} runs of {seconds:g} s each; {machine['cpu']}, {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}, {machine['time'][:10]}.\n\n{bounds.render(results)}")


def part():
    """What README.md has now."""
    return README.read_text().split(FIRST)[1].split(LAST)[0].strip()


def write(results):
    before, rest = README.read_text().split(FIRST)
    after = rest.split(LAST)[1]
    README.write_text(f"{before}{FIRST}\n\n{text(results)}\n\n{LAST}{after}")
