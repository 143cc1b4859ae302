"""One run: a fresh program, the load, the figures."""

import json
import signal
import socket
import subprocess
import tempfile

from .contenders import BENCHMARKS

#: What a run may take beyond the time that it measures.
PATIENCE = 120


class RunFailed(Exception):
    pass


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
    listen, backend = free_addresses(2)
    seconds = options.seconds if scenario.is_timed else 0
    bench = str(BENCHMARKS / ".build" / options.build / "voltlane-bench")
    size = dict(zip(cell.arguments[::2], cell.arguments[1::2])).get("--size", "64")
    timing = ("--seconds", str(seconds), "--warmup", str(options.warmup)) if scenario.is_timed else ()
    more = ["--count-system-calls"] if options.count_system_calls and cell.moves_packets else []
    with tempfile.TemporaryDirectory(prefix="voltlane-bench-") as folder:
        command, environment = contender.prepare(folder, listen=listen, backend=backend, size=size)
        with open(f"{folder}/log", "w+") as log:
            program = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return figures_of(
                    [
                        bench, scenario.mode, "--relay", listen, "--backend-listen", backend, *cell.arguments, *timing,
                        "--relay-pid", str(program.pid), "--congestion-control", options.congestion_control, "--json",
                        *(["--plain"] if contender.is_plain else []), *more,
                    ], seconds)
            except RunFailed as failure:
                log.seek(0)
                raise RunFailed(f"{failure}\n{log.read()[-2000:]}") from None
            finally:
                end(program)


def figures_of(command, seconds):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end: {' '.join(command)}") from None
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def end(program):
    program.send_signal(signal.SIGTERM)
    try:
        program.wait(timeout=10)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
