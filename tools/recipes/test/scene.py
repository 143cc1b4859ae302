"""What a recipe is tried in: a machine of its own, as far as the kernel has namespaces for that."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

from voltlane.handshake import Handshake
from voltlane.keys import SecretKey
from voltlane.wire import PacketSplitter, framed

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "tools/recipes"
PROGRAMS = Path(os.environ.get("TEST_PROGRAMS", ROOT / ".build/release"))
#: How long anything may take before it counts as broken: no test waits that long if all is well.
PATIENCE = 60
#: Who the relay is here, as systemd would have it: nobody else, because the kernel counts locked memory by user.
NOBODY = random.randrange(100_000, 1_000_000)

#: The folders that recipes name. Here each is empty, and not the machine's own.
FOLDERS = ("/run", "/var/log", "/var/lib", "/var/spool", "/etc/ssl/private", "/etc/ssl/certs")
#: Names that recipes use.
NAMES = ("relay.example", "logs.example")
#: Addresses that recipes use, and documentation's own for clients.
ADDRESSES = ("10.0.0.10/32", "10.0.0.11/32", "10.0.0.12/32", "10.0.0.21/32", "10.0.0.22/32", "192.0.2.0/24")


class Broken(Exception):
    """A recipe does not do what its page says."""


def check(is_so: object, complaint: object) -> None:
    """Fails if it is not so."""
    if not is_so:
        raise Broken(str(complaint))


def until(condition, complaint) -> None:
    """Waits for a condition, with an end to it; the complaint is made only then."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < deadline, f"gave up waiting: {complaint()}")
        time.sleep(0.01)


def make_machine() -> None:
    """Makes the namespaces that this process has been given into that machine."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    # Debian's nginx and haproxy look into folders below these for what they do not need here.
    for folder in FOLDERS:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder], check=True)
    for folder in ("/run/voltlane", "/var/lib/voltlane", "/var/log/voltlane",
                   "/var/spool/rsyslog", "/var/lib/nginx", "/var/log/nginx", "/var/lib/haproxy"):
        Path(folder).mkdir()
    for folder in ("/run/voltlane", "/var/lib/voltlane"):
        os.chown(folder, NOBODY, NOBODY)
    hosts = Path("/run/hosts")
    hosts.write_text("127.0.0.1 localhost " + " ".join(NAMES) + "\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


class Program:
    """A program that runs, and what it writes."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        # As with systemd's "append:", so that a file that is truncated begins anew.
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)

    def text(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        """Until it has written these words."""
        until(lambda: words in self.text() or self.process.poll() is not None,
              lambda: f"{self.name} does not say {words!r}:\n{self.text()}")
        check(words in self.text(), f"{self.name} ended without saying {words!r}:\n{self.text()}")

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)


class Scene(contextlib.ExitStack):
    """A recipe's programs. They end with it."""

    def __init__(self, recipe: str) -> None:
        super().__init__()
        self.recipe = RECIPES / recipe
        self.programs: list[Program] = []
        self.folder = Path("/run/logs")

    def __enter__(self) -> Scene:
        super().__enter__()
        self.folder.mkdir()
        self.callback(shutil.rmtree, self.folder)
        return self

    def __exit__(self, *arguments: object) -> bool | None:
        for program in reversed(self.programs):
            # With whatever it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.process.pid, signal.SIGKILL)
            program.process.wait()
        return super().__exit__(*arguments)

    def start(self, *command: str | Path, log: Path | None = None) -> Program:
        """Starts a program."""
        name = Path(command[0]).name
        log = log or self.folder / f"{len(self.programs)}-{name}.log"
        program = Program(name, [str(part) for part in command], log)
        self.programs.append(program)
        return program

    def relay(self, config: str = "voltlane.toml", *flags: str, group: str = "nogroup",
              backend: str = "127.0.0.1:42001", log: Path | None = None) -> Program:
        """Starts an echo backend, and a relay with a recipe's file as the unprivileged user of a service."""
        self.start(PROGRAMS / "voltlane-echo", "--listen", backend)
        relay = self.start("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", f"--groups={group}",
                           PROGRAMS / "voltlane", "--config", self.recipe / config, *flags, log=log)
        relay.wait_for("listening on")
        relay.wait_for("backend connected")
        return relay

    def certificate(self) -> None:
        """A certificate for relay.example, which is also its own authority."""
        made = self.folder / "made"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=relay.example", "-addext", "subjectAltName=DNS:relay.example",
             "-keyout", f"{made}.key", "-out", f"{made}.crt"], check=True, capture_output=True)
        certificate = Path(f"{made}.crt").read_text()
        Path("/etc/ssl/private/voltlane.pem").write_text(certificate + Path(f"{made}.key").read_text())
        Path("/etc/ssl/certs/ca-certificates.crt").write_text(certificate)


def listens(address: tuple[str, int] | str) -> bool:
    """Whether somebody accepts connections there."""
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(kind) as attempt:
        return attempt.connect_ex(address) == 0


def clients(control: str = "/run/voltlane/control.sock") -> list[dict]:
    """The relay's sessions."""
    answer = subprocess.run(
        [PROGRAMS / "voltlane-ctl", "clients", "--json", "--top", "1000", "--control", f"unix:{control}"],
        capture_output=True, check=True, text=True)
    return json.loads(answer.stdout)["clients"]


def netcat(address: str) -> None:
    """voltlane-connect has a line echoed through what listens there."""
    command = [PROGRAMS / "voltlane-connect", address, "--no-reconnect", "--wait", "inf"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdin.write(b"hello\n")
        client.stdin.flush()
        line = client.stdout.readline()
        client.kill()
        check(line == b"hello\n", f"voltlane-connect {address}: {line!r} {client.stderr.read().decode()}")


class Client:
    """A client of the protocol over any socket, from any address, with the Python library's parts without I/O."""

    def __init__(self, server: tuple[str, int], source: str, tls: bool = False, resume: Client | None = None) -> None:
        plain = socket.create_connection(server, PATIENCE, (source, 0))
        self.socket = plain
        if tls:
            context = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
            self.socket = context.wrap_socket(plain, server_hostname="relay.example")
        self.key = resume.key if resume else SecretKey.generate()
        self.splitter = PacketSplitter()
        self.handshake = (Handshake(self.key, resume.handshake.relay_key, resume.handshake.client_id)
                          if resume else Handshake(self.key))
        self.socket.sendall(self.handshake.opening)
        while not self.handshake.is_done:
            self.socket.sendall(self.handshake.receive(self.receive()))

    def receive(self) -> bytes:
        """The next packet."""
        data = b""
        while not (packets := self.splitter.feed(data, 1)):
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the relay closed the connection")
        return packets[0]

    def echoes(self, text: bytes = b"hello") -> bool:
        """Whether a packet comes back."""
        self.socket.sendall(framed(text))
        return self.receive() == text

    def close(self) -> None:
        """Ends the connection, not the session."""
        self.socket.close()


def complain(text: str) -> None:
    """Says something where it is seen."""
    print(f"test-recipes: {text}", file=sys.stderr, flush=True)
