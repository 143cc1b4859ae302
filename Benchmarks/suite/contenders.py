"""The programs that are measured, and how each is started."""

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent

HAPROXY = """\
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind {listen}
  server backend {backend}
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 10000; }}
stream {{
  server {{
    listen {listen} backlog=4096;
    proxy_pass {backend};
    tcp_nodelay on;
  }}
}}
"""


@dataclass(frozen=True)
class Contender:
    name: str
    title: str
    #: Command line; {listen}, {backend}, {size} and {folder}, an empty directory of the run's own, are filled in.
    command: tuple
    note: str = ""
    #: A configuration file for {folder}/configuration.
    configuration: str = ""
    environment: dict = field(default_factory=dict)
    #: Speaks no protocol: bytes in, the same bytes out.
    is_plain: bool = False
    #: Brings its own load, and prints its figures: voltlane-bench has no part in it.
    measures_itself: bool = False

    @property
    def command_text(self):
        return shlex.join(self.command).replace(str(ROOT), ".")

    def prepare(self, folder, **places):
        """Writes what the program reads; returns its command line and environment."""
        places["folder"] = folder
        if self.configuration:
            Path(folder, "configuration").write_text(self.configuration.format(**places))
        # A relay is what its command line says: no setting of whoever measures, such as VOLTLANE_IO, changes it unseen.
        own = {name: value for name, value in os.environ.items() if not name.startswith("VOLTLANE_")}
        return [part.format(**places) for part in self.command], {**own, **self.environment}


def all_contenders(control, build):
    """Every contender, by name; `control` is the congestion control of all of them, `build` is release or debug."""
    relay = str(ROOT / ".build" / build / "voltlane")
    peers = BENCHMARKS / "peers"
    nio = str(BENCHMARKS / ".build" / build / "nio-relay")
    ends = ("--listen", "{listen}", "--backend", "{backend}", "--congestion-control", control)
    preload = {"LD_PRELOAD": str(peers / "congestion-control.so"), "CONGESTION_CONTROL": control}

    def voltlane(name, title, *flags, note=""):
        # Its backend is gone when it is ended: nothing to wait for.
        return Contender(name, title, (relay, *ends, "--shutdown-timeout", "0s", *flags), note)

    no_ids = "a plain TCP proxy: it carries no ids and opens a connection to the backend for each client"
    contenders = [
        voltlane("shared", "voltlane, one thread", "--shards", "1", "--firehose-core", "shared"),
        voltlane(
            "again", "voltlane, one thread, again", "--shards", "1", "--firehose-core", "shared",
            note="the same program a second time: the difference is noise"),
        voltlane(
            "prompt", "voltlane, one thread, which waits for no more", "--shards", "1", "--firehose-core", "shared",
            "--coalesce-time", "0"),
        voltlane("own", "voltlane, the firehose on its own thread", "--shards", "1", "--firehose-core", "own"),
        voltlane(
            "epoll-kernel", "voltlane over epoll, default flags", "--io", "epoll",
            note="what users run where io_uring is refused"),
        voltlane("default", "voltlane, default flags", note="what users run: as many threads as the traffic needs"),
        voltlane("shards2", "voltlane, two threads", "--threads", "2", "--shards", "2", "--firehose-core", "shared"),
        voltlane("shards4", "voltlane, four threads", "--threads", "4", "--shards", "4", "--firehose-core", "shared"),
        voltlane("shards16", "voltlane, sixteen shards", "--shards", "16"),
        Contender(
            "epoll", "epoll relay in C", (str(peers / "epoll-relay"), *ends), "the yardstick: one thread, large reads"),
        Contender("nio", "SwiftNIO relay", (nio, *ends), "one thread, one write a turn"),
        Contender(
            "nio-single", "SwiftNIO relay, a packet a call", (nio, *ends, "--single", "{size}"),
            "one read and one write for each packet"),
        Contender(
            "haproxy", "HAProxy", ("haproxy", "-db", "-f", "{folder}/configuration"), no_ids, HAPROXY, preload,
            is_plain=True),
        Contender(
            "nginx", "nginx stream", ("nginx", "-p", "{folder}", "-c", "{folder}/configuration"), no_ids, NGINX,
            preload, is_plain=True),
        Contender(
            "floor", "the kernel's floor", (str(peers / "floor"), *ends, "--size", "{size}"),
            "the calls of an epoll relay with the same bytes, without protocol work and without a copy", is_plain=True),
    ]
    library = str(BENCHMARKS / ".build" / build / "library-bench")
    contenders += [
        Contender(name, title, (library, "{subject}", loop), note, measures_itself=True)
        for name, loop, title, note in (
            ("swift", "documented", "Swift, the documented loop", "in main, as the documentation writes it"),
            ("swift-detached", "detached", "Swift, a detached task", "the same loop where no actor is left for it"),
            ("swift-batches", "batches", "Swift, by batches", "in main, with backend.batches"),
        )
    ]
    python = ROOT / ".build/python/bin/python"
    script = f"{python if python.exists() else 'python3'} {BENCHMARKS / 'libraries/library.py'}"
    for name, title, program, note in (
        ("python", "Python, one event at a time", f"{script} {{subject}} $PORT", "with asyncio, a process of its own"),
        (
            "python-batches", "Python, by batches",
            f"{script} $(test {{subject}} = send && echo send || echo shout-batches) $PORT", "`send` is the same"),
        ("c", "C", f"{BENCHMARKS / 'libraries/library'} {{subject}} $PORT", "a process of its own"),
    ):
        command = (library, "{subject}", "program", "--program", program)
        contenders.append(Contender(name, title, command, note, measures_itself=True))
    return {contender.name: contender for contender in contenders}
