"""A results file: one JSON object that holds where it was measured, how, and every run."""

import json
import os
import re
from collections import defaultdict

from .figures import Sample

FORMAT = 1
#: What decides the figures: runs that differ in it do not belong in one file.
DECISIVE = {
    "flags": ("quick", "seconds", "warmup", "build", "congestion_control"),
    "machine": ("cpu", "cpus", "memory", "hypervisor", "kernel", "governor"),
}


class Refused(ValueError):
    """What was asked for makes no sense; the text is for the user, in one line."""


def misshapen(document):
    """What keeps it from being the object of a results file, or nothing."""
    if not isinstance(document, dict):
        return "it is no object"
    if document.get("format") != FORMAT:
        return f'its "format" is not {FORMAT}'
    for name, kind in (("machine", dict), ("flags", dict), ("contenders", dict), ("runs", list)):
        if not isinstance(document.get(name), kind):
            return f'it has no "{name}", or one of another kind'
    for number, run in enumerate(document["runs"], 1):
        for name, kind in (("scenario", str), ("cell", str), ("contender", str), ("figures", dict)):
            if not isinstance(run, dict) or not isinstance(run.get(name), kind):
                return f'run {number} has no "{name}", or one of another kind'
        if run["contender"] not in document["contenders"]:
            return f'run {number} is of {run["contender"]}, which is not among the "contenders"'
    return ""


def rounded(figures):
    """Without the digits that mean nothing."""
    if isinstance(figures, float):
        return float(f"{figures:.5g}")
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    return [rounded(value) for value in figures] if isinstance(figures, list) else figures


class Results:
    def __init__(self, machine, flags):
        self.document = {"format": FORMAT, "machine": machine, "flags": flags, "contenders": {}, "runs": []}
        #: That of the runs that are added, where it is known.
        self.commit = ""

    @classmethod
    def load(cls, path):
        """Raises Refused where the file cannot be read, or is something else."""
        results = cls({}, {})
        try:
            with open(path) as file:
                results.document = json.load(file)
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from None
        except json.JSONDecodeError as error:
            raise Refused(f"{path}:{error.lineno}:{error.colno}: is no JSON: {error.msg}") from None
        except UnicodeDecodeError:
            raise Refused(f"{path}: is no text") from None
        wrong = misshapen(results.document)
        if wrong:
            raise Refused(f"{path}: is no results file of tools/bench: {wrong}")
        return results

    def save(self, path):
        # Never half a file: a suite may be interrupted.
        with open(f"{path}.part", "w") as file:
            file.write(self.text())
        os.replace(f"{path}.part", path)

    def text(self):
        """JSON with a line for each run."""
        head = json.dumps({**self.document, "runs": []}, indent=1)
        runs = ",\n".join(json.dumps(run, separators=(",", ":")) for run in self.runs)
        return head.replace('"runs": []', f'"runs": [\n{runs}\n ]') + "\n"

    @property
    def runs(self):
        return self.document["runs"]

    def differing(self, machine, flags):
        """In which of what decides the figures others are not like these, in words."""
        return [
            f"{name.replace('_', ' ')} was {self.document[kind].get(name)!r}, and is {now.get(name)!r}"
            for kind, now in (("flags", flags), ("machine", machine))
            for name in DECISIVE[kind] if self.document[kind].get(name) != now.get(name)
        ]

    def resume(self, machine, flags):
        """Makes ready for more runs. Raises Refused where they would be measured in another way, or elsewhere."""
        differing = self.differing(machine, flags)
        if differing:
            raise Refused(f"--resume: the runs that are there were measured otherwise: {'; '.join(differing)}")
        self.document["flags"]["repeats"] = max(self.document["flags"].get("repeats", 0), flags["repeats"])
        self.measured_at(machine)

    def measured_at(self, machine):
        """Where in the history the runs that are added from now on are measured; + stands for changes beside it."""
        self.commit = f"{machine['commit']}{'+' if machine['changed'] else ''}"

    def commits(self):
        """Those at which the runs were measured, in order; runs of older files have only that of the first run."""
        machine = self.document["machine"]
        first = f"{machine.get('commit', 'unknown')}{'+' if machine.get('changed') else ''}"
        return list(dict.fromkeys(run.get("commit", first) for run in self.runs))

    def describe(self, contender):
        self.document["contenders"][contender.name] = {
            "title": contender.title, "note": contender.note, "command": contender.command_text,
        }

    def add(self, scenario, cell, contender, figures):
        run = {"scenario": scenario, "cell": cell, "contender": contender, "figures": rounded(figures)}
        self.runs.append({**run, "commit": self.commit} if self.commit else run)

    def sort(self, scenarios):
        """Puts runs that were added later beside those of their cell; all must be of these scenarios."""
        unknown = [name for name in self.scenarios() if name not in scenarios]
        if unknown:
            raise Refused(f"there is no scenario {unknown[0]}; there are {', '.join(scenarios)}")

        def place(run):
            # Numbers as numbers: 8 comes before 64.
            cell = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", run["cell"])]
            return scenarios.index(run["scenario"]), cell

        self.runs.sort(key=place)

    def count(self, scenario, cell, contender):
        return sum(
            (run["scenario"], run["cell"], run["contender"]) == (scenario, cell, contender) for run in self.runs)

    def cells(self, scenario):
        """The cells of a scenario, in the order in which they were measured."""
        return list(dict.fromkeys(run["cell"] for run in self.runs if run["scenario"] == scenario))

    def scenarios(self):
        return list(dict.fromkeys(run["scenario"] for run in self.runs))

    def samples(self, scenario, cell, figure):
        """A figure by contender; contenders without one are left out. A figure is a name, or computed from others."""

        def value(figures):
            try:
                return figure(figures) if callable(figure) else figures[figure]
            except KeyError:
                return None

        values = defaultdict(list)
        for run in self.runs:
            if run["scenario"] == scenario and run["cell"] == cell:
                values[run["contender"]].append(value(run["figures"]))
        samples = {name: Sample(numbers) for name, numbers in values.items()}
        return {name: sample for name, sample in samples.items() if sample}
