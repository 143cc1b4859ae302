"""tools/abuse: what offenders cost the relay, and what their neighbours notice. Needs Python 3.9 and a built relay."""

import argparse
import json
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

from suite import machine

from . import cost, namespace, table
from .relay import ROOT, Failed
from .scene import Sizes, perform
from .scenes import all_scenes

#: The name by which --scenes picks what cost.py measures.
COSTS = "costs of a refusal"


def flags():
    parser = argparse.ArgumentParser(
        prog="tools/abuse",
        description="Abuses the relay in every way that its limits are for, and measures what that costs it and what "
        "well-behaved clients notice.")
    parser.add_argument(
        "--small", action="store_true", help="hundreds of connections, counts and reasons only: whether it works")
    parser.add_argument(
        "--scenes", metavar="REGEX", default="",
        help="only these, such as 'flood|garbage'; the others keep the results that are there")
    parser.add_argument("--list", action="store_true", help="play nothing: only list the scenes")
    parser.add_argument(
        "--docs", action="store_true", help="play nothing: write the table of the results into the documentation")
    parser.add_argument(
        "--output", metavar="FILE.json", type=Path, default=table.KEPT,
        help="where the results go (default: Benchmarks/results/abuse.json; the small form writes none)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each cost (default: 5)")
    parser.add_argument("--build", choices=("release", "debug"), default="release", help="which build of the relay")
    parser.add_argument(
        "--loopback", action="store_true",
        help="without a network namespace: addresses of 127.0.0.0/8, and no IPv6")
    return parser.parse_args()


def prepare():
    # Programs inherit what is blocked here, and some parents block the signal that ends them.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if os.geteuid() == 0:
        # The offenders' own work is nobody's; what runs beside them takes the normal priority back.
        os.nice(15)


def play(scene, program, addresses, sizes):
    start = time.monotonic()
    try:
        result = perform(scene, program, addresses, sizes)
    except Failed as failure:
        result = {"name": scene.name, "complaints": [str(failure)]}
    wrong = result["complaints"]
    print(f"{scene.name}: {'FAILED' if wrong else 'as it should be'}, {time.monotonic() - start:.1f} s",
          file=sys.stderr, flush=True)
    for line in wrong:
        print(f"    {line}", file=sys.stderr)
    if wrong and "counters" in result:
        print(f"    {result['endings']} {result['counters']} {result['reasons']}", file=sys.stderr)
    return result


def costs(program, addresses, options):
    """All that are refused are counted: a cost that was measured of something else ends this with an error."""
    rounds, count = (1, 30) if options.small else (options.rounds, 2000)
    found = cost.measure(program, addresses, rounds, count, every_mode=not options.small)
    print(f"{COSTS}: as it should be", file=sys.stderr, flush=True)
    return found


def save(path, scenes, refusals):
    """Adds what was seen to the results that are there. A scene that was played again takes its own place."""
    document = json.loads(path.read_text()) if path.exists() else {"scenes": []}
    here = machine.describe()
    for each in scenes + ([refusals] if refusals else []):
        each["commit"] = here["commit"]
    new = {each["name"]: each for each in scenes}
    known = {each["name"]: each for each in document["scenes"]}
    document["scenes"] = [{**known, **new}[each.name] for each in all_scenes() if each.name in {**known, **new}]
    document["machine"] = here
    document["costs"] = refusals or document.get("costs")
    path.write_text(json.dumps(document, indent=1) + "\n")
    return document


def main():
    options = flags()
    if options.list:
        print("\n".join([f"{each.name}: {each.title}" for each in all_scenes()] + [COSTS]))
        return 0
    if options.docs:
        table.write(json.loads(options.output.read_text()))
        return 0
    if not options.loopback:
        namespace.enter("abuse")
    prepare()
    addresses, sizes = namespace.Addresses(), Sizes(options.small)
    program = ROOT / ".build" / options.build / "voltlane"
    if not program.exists():
        sys.exit(f"tools/abuse: {program} is not built")
    wanted = [each for each in all_scenes() if re.search(options.scenes, each.name)]
    if not addresses.is_wide:
        left_out = [each.name for each in wanted if each.needs_ipv6]
        print("tools/abuse: no network namespace here, so all addresses are of 127.0.0.0/8"
              + (f"; left out: {', '.join(left_out)}" if left_out else ""), file=sys.stderr)
        wanted = [each for each in wanted if not each.needs_ipv6]
    seen = [play(each, program, addresses, sizes) for each in wanted]
    wants_costs = re.search(options.scenes, COSTS)
    if not seen and not wants_costs:
        sys.exit("tools/abuse: there is no such scene")
    refusals = costs(program, addresses, options) if wants_costs else None
    complaints = sum(len(each["complaints"]) for each in seen)
    if not options.small and not complaints:
        print(table.render(save(options.output, seen, refusals)))
    print(f"tools/abuse: {len(seen)} scenes, {complaints} complaints")
    return 1 if complaints else 0


sys.exit(main())
