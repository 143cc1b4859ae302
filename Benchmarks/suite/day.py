"""tools/bench --day and --spread: how many threads the relay takes while the load changes, and what that is worth."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import day_page, machine
from .contenders import BENCHMARKS, ROOT
from .results import Refused, rounded
from .runner import check, clean_up_when_terminated, end, free_addresses

#: How the threads are placed: what is measured side by side.
PLACEMENTS = {
    "auto": ("default flags", ()),
    "one": ("--threads 1", ("--threads", "1")),
    "two": ("--threads 2", ("--threads", "2")),
}
#: The clients of the flood; few, so that whoever makes the load has little to do.
CLIENTS = 16
#: Newcomers a second, whose keys the relay checks.
NEWCOMERS = 200
#: A day's most packets a second, and its least, as parts of what one thread carries.
NOON, NIGHT = 1.3, 0.01
#: What a relay and the load may take to begin and to end.
PATIENCE = 60


@dataclass
class Program:
    """A relay with a placement, as runner.check looks at it."""

    name: str
    flags: tuple = ()
    build: str = "release"
    control: str = "cubic"
    command: tuple = field(init=False)

    def __post_init__(self):
        self.command = (
            str(ROOT / ".build" / self.build / "voltlane"), "--listen", "{listen}", "--backend", "{backend}", "--admin",
            "{admin}", "--congestion-control", self.control, "--shutdown-timeout", "0s", *self.flags)


def flood_program():
    return str(BENCHMARKS / "peers/flood")


# ---- what a relay does ----------------------------------------------------------------------------------------------


def hosting(metrics):
    """The roles at each thread, by the text of /metrics: shards and the firehose, without the handshake workers."""
    roles = {}
    for thread, role in re.findall(r'^voltlane_thread_roles\{thread="([^"]+)",role="([^"]+)"\} 1$', metrics, re.M):
        if not role.startswith("handshake"):
            roles.setdefault(thread, []).append(role)
    return roles


def thread_times(process):
    """Time on a CPU, and time waiting for one, of all threads of a process that carry packets, in nanoseconds."""
    cpu = waited = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            if task.joinpath("comm").read_text().startswith(("relay", "firehose")):
                times = task.joinpath("schedstat").read_text().split()
                cpu, waited = cpu + int(times[0]), waited + int(times[1])
        except OSError:
            # It has just ended.
            continue
    return cpu, waited


def point(line, last, now, roles):
    """What is kept of an interval: a line of the flood, and the relay's times before it and after it."""
    passed = line["time"] - last["time"]
    cpu, waited = now[0] - last["relay"][0], now[1] - last["relay"][1]
    return {
        "time": line["time"], "idle": line["idle"], "offered": line["offered"] / passed,
        "packets": line["packets"] / passed, "newcomers": line["newcomers"] / passed, "threads": len(roles),
        "relay_cpu": cpu / passed / 1e9, "relay_waited": waited / passed / 1e9,
        "relay_cpu_ns": cpu / line["packets"] if line["packets"] else None, "p50_us": line["p50_us"],
        "p99_us": line["p99_us"] if line["probes"] else None, "max_us": line["max_us"],
        "load_cpu": line["cpu_ns"] / passed / 1e9,
    }


def follow(program, flood, seconds):
    """Runs a relay under the flood, and returns a point for each interval. Raises Refused where the load fails."""
    listen, backend, admin = free_addresses(3)
    with tempfile.TemporaryDirectory(prefix="voltlane-day-") as folder, open(f"{folder}/log", "w+") as log:
        command = [part.format(listen=listen, backend=backend, admin=admin) for part in program.command]
        relay = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        load = subprocess.Popen(
            [
                flood_program(), "--relay", listen, "--backend-listen", backend, "--clients", str(CLIENTS),
                "--newcomers", str(NEWCOMERS), "--congestion-control", program.control, *flood
            ], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            points, last = [], None
            for text in load.stdout:
                line, now = json.loads(text), thread_times(relay.pid)
                if last:
                    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as answer:
                        points.append(point(line, last, now, hosting(answer.read().decode())))
                last = {"time": line["time"], "relay": now}
            if load.wait(timeout=seconds + PATIENCE):
                log.seek(0)
                raise Refused(f"the flood through {program.name} failed:\n{log.read()[-2000:]}")
            return points
        finally:
            end(load)
            end(relay)


# ---- a load that one thread cannot carry ----------------------------------------------------------------------------


def spread_of(points, settled=1.0):
    """When a second thread came and when it had gone after the load's end, in seconds, and packets a second before and
    after; None for what did not happen. `settled`: from so long after the spread on it counts."""
    busy = [each for each in points if not each["idle"]]
    spread = next((each["time"] for each in busy if each["threads"] > 1), None)
    over = busy[-1]["time"]
    folded = next((each["time"] for each in points if each["idle"] and each["threads"] == 1), None)
    # A packet's longest round trip with no other load: while the roles went back, and else.
    idle = [each for each in points if each["idle"] and each["time"] > over + settled]
    folding = [each["max_us"] for each in idle if folded is not None and folded - 0.6 < each["time"] < folded + 0.3]
    still = [each["max_us"] for each in idle if folded is None or not folded - 0.6 < each["time"] < folded + 0.3]
    # The first intervals warm up, and the one in which a role moved is neither.
    before = [each["packets"] for each in busy if 0.5 <= each["time"] and each["threads"] == 1]
    after = [each["packets"] for each in busy if spread is not None and each["time"] >= spread + settled]
    return {
        "spread_after": spread, "folded_after": folded - over if spread is not None and folded is not None else None,
        "before": median(before) if before else None, "after": median(after) if after else None,
        "gain": median(after) / median(before) if before and after else None,
        "longest_folding_us": max(folding, default=None), "longest_still_us": max(still, default=None),
    }


def spread(options):
    runs = []
    flood = ("--seconds", str(options.seconds), "--idle", "6", "--interval", "0.25", "--silent", str(options.silent))
    for repeat in range(options.repeats):
        program = Program("the default", (), options.build, options.congestion_control)
        points = follow(program, flood, options.seconds + 6)
        found = spread_of(points)
        runs.append({**found, "points": points})
        print(f"[{repeat + 1}/{options.repeats}] {spread_text(found)}", flush=True)
    return {"kind": "spread", "machine": machine.describe(), "seconds": options.seconds, "runs": rounded(runs)}


def spread_text(found):
    if found["spread_after"] is None:
        return "nothing was spread: was a CPU idle?"
    parts = [f"a second thread after {found['spread_after']:.2f} s"]
    if found["gain"]:
        parts.append(
            f"{found['before'] / 1e6:.0f} million packets a second before, {found['after'] / 1e6:.0f} after: "
            f"{found['gain']:.2f} times")
    folded = found["folded_after"]
    parts.append(f"one thread again {folded:.2f} s after the end" if folded is not None else "not folded")
    if folded is not None and found["longest_folding_us"] and found["longest_still_us"]:
        parts.append(
            f"longest round trip meanwhile {found['longest_folding_us'] / 1e3:.2f} ms, else "
            f"{found['longest_still_us'] / 1e3:.2f} ms")
    return "; ".join(parts)


# ---- a day ----------------------------------------------------------------------------------------------------------


def day(options):
    def program(name):
        return Program(name, PLACEMENTS[name][1], options.build, options.congestion_control)

    # What one thread carries is not the same on any two machines.
    points = follow(program("one"), ("--seconds", "3", "--interval", "0.5"), 3)
    capacity = median(each["packets"] for each in points)
    print(f"one thread carries {capacity / 1e6:.1f} million packets a second", flush=True)
    most, least = NOON * capacity, NIGHT * capacity
    flood = ("--seconds", str(options.seconds), "--rate", f"{most:.0f}", "--day", f"{least:.0f}", "--interval", "0.5")
    placements = {}
    for name, (title, flags) in PLACEMENTS.items():
        print(f"a day with {title}", file=sys.stderr, flush=True)
        points = follow(program(name), flood, options.seconds)
        placements[name] = {"title": title, "flags": " ".join(flags), "points": rounded(points)}
    return {
        "kind": "day", "machine": machine.describe(), "seconds": options.seconds, "capacity": rounded(capacity),
        "build": options.build, "congestion_control": options.congestion_control, "placements": placements,
    }


# ---- the command ----------------------------------------------------------------------------------------------------


def positive(kind):
    def read(text):
        value = kind(text)
        if not 0 < value < 1e6:
            raise ValueError
        return value

    read.__name__ = f"number ({kind.__name__}) above 0"
    return read


def flags(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--day", action="store_true", help="a day of load with each placement of threads: a page of plots")
    which.add_argument("--spread", action="store_true", help="a load that one thread cannot carry: how soon, how much")
    parser.add_argument(
        "--seconds", type=positive(float), metavar="S", help="of a day (default: 100), or of such a load (default: 8)")
    parser.add_argument("--repeats", type=positive(int), default=3, metavar="N", help="of such a load (default: 3)")
    parser.add_argument(
        "--silent", type=int, default=0, metavar="N", help="clients that are there besides, in --spread (default: 0)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json",
        help="where the results are, the page beside it as .html (default: Benchmarks/results/day.json or spread.json)")
    parser.add_argument("--report", action="store_true", help="measure nothing: only the page of the output")
    parser.add_argument("--check", action="store_true", help="measure nothing: only say whether the flags make sense")
    parser.add_argument("--congestion-control", default="cubic", metavar="NAME", help="default: cubic")
    parser.add_argument("--build", choices=("release", "debug"), default="release")
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (100 if options.day else 8)
    options.output = options.output or BENCHMARKS / "results" / ("day.json" if options.day else "spread.json")
    return options


def main(arguments=None):
    options = flags(arguments)
    clean_up_when_terminated()
    if options.check:
        return 0
    if options.report:
        document = json.loads(options.output.read_text())
    else:
        check([Program("relay", (), options.build)], options.build)
        document = day(options) if options.day else spread(options)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(document, indent=1) + "\n")
    if options.day:
        written = options.output.with_suffix(".html")
        written.write_text(day_page.render(document))
        print(day_page.table(document))
        print(f"tools/bench: {options.output} and {written}")
    else:
        print("\n".join(spread_text(each) for each in document["runs"]) if options.report else "", end="")
        print(f"tools/bench: {options.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, OSError) as error:
        sys.exit(f"tools/bench: {error}")
