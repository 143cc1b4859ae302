"""tools/bench: measures voltlane beside its peers. Needs Python 3.9 and what tools/bench has built."""

import argparse
import math
import re
import resource
import sys
import time
from pathlib import Path

from . import bounds, compare, machine, page, readme, scenarios, table
from .contenders import BENCHMARKS, all_contenders
from .results import Refused, Results
from .runner import RunFailed, check, clean_up_when_terminated, run


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def pattern(text):
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    return text


def results_file(text):
    # The page is beside it, with another suffix.
    if Path(text).suffix != ".json":
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .json")
    return Path(text)


def count(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def some_seconds(text):
    if seconds(text) == 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return seconds(text)


def flags():
    parser = Parser(
        prog="tools/bench",
        description="Measures voltlane beside its peers, and writes a JSON file of every run and a page of plots.")
    parser.add_argument("--quick", action="store_true", help="a small form: two minutes, and rough")
    parser.add_argument("--compare", metavar="OLD.json", help="say what moved beyond the noise since then")
    parser.add_argument(
        "--output", metavar="FILE.json", type=results_file, default=BENCHMARKS / "results/latest.json",
        help="where the results are, the page beside it as .html (default: Benchmarks/results/latest.json)")
    parser.add_argument("--resume", action="store_true", help="add the runs that the output file does not have yet")
    parser.add_argument("--report", action="store_true", help="measure nothing: only the page and tables of the output")
    parser.add_argument(
        "--readme", action="store_true",
        help="measure nothing: keep the output as Benchmarks/results/kept.json, and write it into the documents")
    parser.add_argument(
        "--check", action="store_true", help="measure nothing: only say whether the flags and files make sense")
    parser.add_argument(
        "--for", dest="limit", metavar="SECONDS", type=some_seconds, help="stop after this time; see --resume")
    parser.add_argument(
        "--scenarios", metavar="REGEX", type=pattern, default="", help="only these, such as 'echo|idle'")
    parser.add_argument(
        "--cells", metavar="REGEX", type=pattern, default="", help="only these, such as '^1:64:'")
    parser.add_argument("--contenders", metavar="NAME,...", help="only these; see Benchmarks/README.md for the names")
    parser.add_argument("--repeats", type=count, metavar="N", help="runs of each cell (default: 5; quick: 2)")
    parser.add_argument("--seconds", type=some_seconds, metavar="S", help="of each run (default: 0.5; quick: 0.3)")
    parser.add_argument("--warmup", type=seconds, metavar="S", help="before each run (default: 0.2; quick: 0.1)")
    parser.add_argument(
        "--congestion-control", default="cubic", metavar="NAME", help="of every program's sockets (default: cubic)")
    parser.add_argument(
        "--count-system-calls", action="store_true", help="of the relays, after each run; needs root")
    parser.add_argument(
        "--build", choices=("release", "debug"), default="release",
        help="which builds to measure; with debug only to see that the suite works")
    options = parser.parse_args()
    options.repeats = options.repeats or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 0.5)
    options.warmup = options.warmup if options.warmup is not None else (0.1 if options.quick else 0.2)
    return options


def planned(options):
    """Every run: scenario, cell, contender, repeat. Contenders take turns, so that the machine's moods hit all."""
    contenders = all_contenders(options.congestion_control, options.build)
    wanted = options.contenders.split(",") if options.contenders else list(contenders)
    unknown = [name for name in wanted if name not in contenders]
    if unknown:
        sys.exit(f"tools/bench: --contenders: there is no {unknown[0]}; there are {', '.join(contenders)}")
    for scenario in scenarios.quick() if options.quick else scenarios.full():
        if not re.search(options.scenarios, scenario.name):
            continue
        for cell, name, repeat in scenario.runs(options.repeats):
            if name in wanted and re.search(options.cells, cell.name):
                yield scenario, cell, contenders[name], repeat


def measure(options, plan, results):
    """Runs what is planned and not there yet. Returns whether everything is there now."""
    start = time.monotonic()
    check(
        {contender.name: contender for scenario, cell, contender, repeat in plan
         if results.count(scenario.name, cell.name, contender.name) <= repeat}.values(), options.build)
    failures = 0
    for number, (scenario, cell, contender, repeat) in enumerate(plan, 1):
        if results.count(scenario.name, cell.name, contender.name) > repeat:
            continue
        if options.limit and time.monotonic() - start > options.limit:
            print(f"tools/bench: stopped after {options.limit:.0f} s, {number - 1} of {len(plan)} runs are there")
            return False
        print(f"[{number}/{len(plan)}] {scenario.name} {cell.name}: {contender.name}", file=sys.stderr, flush=True)
        results.describe(contender)
        try:
            figures = run(contender, scenario, cell, options)
        except RunFailed as failure:
            failures += 1
            print(f"tools/bench: {failure}", file=sys.stderr)
            continue
        results.add(scenario.name, cell.name, contender.name, figures)
        results.save(options.output)
    if failures:
        print(f"tools/bench: {failures} runs failed", file=sys.stderr)
    return failures == 0


def main():
    options = flags()
    clean_up_when_terminated()
    # For the peers that do not raise their own limit.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    old = Results.load(options.compare) if options.compare else None
    options.report = options.report or options.readme
    plan = [] if options.report else list(planned(options))
    if not plan and not options.report:
        limits = [("--scenarios", options.scenarios), ("--cells", options.cells), ("--contenders", options.contenders)]
        named = ", ".join(f"{flag} {value!r}" for flag, value in limits if value)
        raise Refused(f"nothing is to be measured: no run is within {named}{' --quick' if options.quick else ''}")
    if options.report and not options.output.exists():
        sys.exit(f"tools/bench: {options.output} is not there: measure first, or name another with --output")
    kept = {key: value for key, value in vars(options).items() if key not in ("output", "limit", "check")}
    is_there = options.report or (options.resume and options.output.exists())
    here = machine.describe()
    results = Results.load(options.output) if is_there else Results(here, kept)
    titles = {scenario.name: scenario.title for scenario in scenarios.full()}
    try:
        # What was loaded must be of scenarios that are known, before others are measured.
        results.sort(list(titles))
        if not options.report:
            results.resume(here, kept)
    except Refused as refused:
        raise Refused(f"{options.output}: {refused}") from None
    if options.check:
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    complete = options.report or measure(options, plan, results)
    if options.readme:
        readme.write(results)
    results.sort(list(titles))
    written = options.output.with_suffix(".html")
    written.write_text(page.render(results, titles))
    print(table.render(results))
    print(bounds.bounds_table(results))
    print(f"tools/bench: {options.output} and {written}")
    if len(results.commits()) > 1:
        print(f"tools/bench: the runs are of several commits: {', '.join(results.commits())}")
    if old:
        print(compare.render(old, results))
    return 0 if complete else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, OSError) as error:
        sys.exit(f"tools/bench: {error}")
