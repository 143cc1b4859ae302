"""One run: a fresh program, the load, the figures."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from .contenders import BENCHMARKS
from .results import Refused

#: What a run may take beyond the time that it measures.
PATIENCE = 120


class RunFailed(Exception):
    pass


def clean_up_when_terminated():
    """Lets a signal that would end Python at once end what was started first. Programs inherit what is blocked here,
    and some parents block the signal that ends them: nothing is."""

    def leave(number, _):
        # Once: a second one would interrupt the cleaning up.
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def load_generator(build):
    return str(BENCHMARKS / ".build" / build / "voltlane-bench")


def check(contenders, build):
    """Raises Refused where a program is not there to be run."""
    for program in [load_generator(build), *(contender.command[0] for contender in contenders)]:
        if not shutil.which(program):
            raise Refused(f"{program} is not there: build or install it; tools/bench does both for release builds")


def free_addresses(count):
    """Addresses on which nobody listens just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return ["127.0.0.1:%d" % each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def run(contender, scenario, cell, options):
    """The figures of one run, by name. Raises RunFailed where anything was lost, late or wrong."""
    if contender.measures_itself:
        # The cell says what of it.
        command, _ = contender.prepare("", subject=cell.arguments[0])
        seconds = options.seconds * scenario.stretch
        times = ["--seconds", str(seconds), "--warmup", str(options.warmup)]
        return figures_of([*command, *times], seconds + PATIENCE)
    arguments = list(cell.arguments)
    seconds = options.seconds * scenario.stretch if scenario.is_timed else 0
    if scenario.is_timed:
        arguments += ["--seconds", str(seconds), "--warmup", str(options.warmup)]
    if options.count_system_calls and cell.moves_packets and "--count-system-calls" not in arguments:
        arguments.append("--count-system-calls")
    # For programs that do not find it out themselves.
    size = arguments[arguments.index("--size") + 1] if cell.moves_packets else "64"

    def figures(*more):
        return load(contender, size, [scenario.mode, *arguments, *more], options, seconds + PATIENCE)

    if not cell.capacity:
        return figures()
    capacity = figures(*cell.capacity)["packets_per_second"]
    return {**figures("--rate", f"{capacity / 2:.0f}"), "capacity": capacity}


def load(contender, size, arguments, options, timeout):
    """Starts the program, and what voltlane-bench says of it."""
    listen, backend = free_addresses(2)
    with tempfile.TemporaryDirectory(prefix="voltlane-bench-") as folder:
        command, environment = contender.prepare(folder, listen=listen, backend=backend, size=size)
        with open(f"{folder}/log", "w+") as log:
            program = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return figures_of(
                    [
                        load_generator(options.build), *arguments, "--relay", listen, "--backend-listen", backend,
                        "--relay-pid", str(program.pid), "--congestion-control", options.congestion_control, "--json",
                        *(["--plain"] if contender.is_plain else []),
                    ], timeout)
            except RunFailed as failure:
                log.seek(0)
                raise RunFailed(f"{failure}\n{log.read()[-2000:]}") from None
            finally:
                end(program)


def figures_of(command, timeout):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end: {' '.join(command)}") from None
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RunFailed(f"{' '.join(command)}: printed no JSON\n{done.stdout}{done.stderr}") from None


def end(program):
    program.terminate()
    try:
        program.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    finally:
        program.kill()
        program.wait()
