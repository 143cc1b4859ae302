"""The relay and its backend as processes, and what they tell: CPU, memory, counters."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: One thread for packets, so that an attack cannot hide on another CPU, and one for handshakes.
FLAGS = ["--shards", "1", "--firehose-core", "shared", "--handshake-workers", "1", "--congestion-control", "cubic"]
if os.environ.get("TEST_IO"):
    # What tools/test --io says.
    FLAGS += ["--io", os.environ["TEST_IO"]]
#: How long anything may take that takes no time.
PATIENCE = 20


class Failed(Exception):
    pass


def child(command, **options):
    """A process with the priority that the attackers have given up, without what this one has blocked."""
    def prepare():
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if os.geteuid() == 0:
            try:
                os.setpriority(os.PRIO_PROCESS, 0, 0)
            except PermissionError:
                # Root of a namespace only.
                pass
    return subprocess.Popen(command, preexec_fn=prepare, **options)


def free_port(address):
    """One on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def tcp_memory():
    """Bytes that the kernel holds for all TCP sockets of the machine, no matter whose they are."""
    text = Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP:.* mem (\d+)", text, re.MULTILINE).group(1)) * os.sysconf("SC_PAGE_SIZE")


class Helper:
    """A module of this package as a process, which answers each line that it is told with a line of JSON."""

    def __init__(self, module, *arguments):
        self.process = child(
            [sys.executable, "-m", module, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{' '.join(map(str, self.process.args))} has ended")
        return json.loads(line)

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.read()

    def pause(self):
        """Stops it, as Ctrl-Z does: its kernel goes on, and acknowledges what comes for it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Relay:
    """A relay that was started with these flags, with an echo backend. Ends with its `with`."""

    def __init__(self, program, addresses, flags):
        self.backend = Helper("abuse.backend", f"{addresses.network}.0.0.2")
        port = free_port(addresses.relay)
        self.address = (addresses.relay, port)
        self.address6 = (addresses.relay6, port) if addresses.relay6 else None
        command = [
            str(program), "--listen", f"{addresses.relay}:{port}", "--backend",
            f"{addresses.network}.0.0.2:{self.backend.first['port']}", *FLAGS, *addresses.flags(), *flags]
        if addresses.relay6:
            command += ["--listen", f"[{addresses.relay6}]:{port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLTLANE_")}
        self.log = tempfile.TemporaryFile("w+")
        self.read = 0
        self.process = child(command, stdin=subprocess.DEVNULL, stderr=self.log, env=environment)
        try:
            self.await_line("backend connected")
        except Failed:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.backend.end()
        self.log.close()

    def lines(self):
        """What it has logged since the last look."""
        self.log.flush()
        data = os.pread(self.log.fileno(), 1 << 20, self.read)
        whole = data[:data.rfind(b"\n") + 1]
        self.read += len(whole)
        return whole.decode().splitlines()

    def await_line(self, text):
        deadline = time.monotonic() + PATIENCE
        seen = []
        while time.monotonic() < deadline:
            lines = self.lines()
            for line in lines:
                if text in line:
                    return line
            seen += lines
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise Failed("the relay did not say '%s':\n%s" % (text, "\n".join(seen[-20:])))

    def counters(self):
        """What it has counted, by the names of the code."""
        self.process.send_signal(signal.SIGUSR1)
        return counted(self.await_line("SIGUSR1: totals"))

    def await_counter(self, name, least):
        """All counters, as soon as one of them is that high."""
        deadline = time.monotonic() + PATIENCE
        while True:
            counters = self.counters()
            if counters.get(name, 0) >= least:
                return counters
            if time.monotonic() > deadline:
                raise Failed(f"{name}: {counters.get(name, 0)} where {least} were awaited; {counters}")
            time.sleep(0.02)

    def cpu(self):
        """Nanoseconds on a CPU, of all its threads. (Exact, while the ticks of `stat` are coarse.)"""
        total = 0
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
        return total

    def memory(self):
        """Bytes that it holds resident."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted(line):
    """The counters in the relay's line of them."""
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line.split("since the start", 1)[1])}
