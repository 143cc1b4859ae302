"""Each recipe, tried with the programs and the files that its page shows."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from pages import command_on_page
from scene import PROGRAMS, RECIPES, Client, Program, Scene, check, clients, listens, netcat, until


def behind_tls(scene: Scene) -> None:
    """What all three TLS recipes promise: a client through a tunnel, and limits that see each client's address."""
    until(lambda: listens(("127.0.0.1", 443)), lambda: "nobody listens on port 443")
    tunnel = scene.start("stunnel4", RECIPES / "tls-client/stunnel.conf")
    until(lambda: listens(("127.0.0.1", 42100)), tunnel.text)
    netcat("127.0.0.1:42100")
    client = Client(("127.0.0.1", 443), "127.0.0.9", tls=True)
    check(client.echoes(), "no echo over TLS")
    # Larger than any buffer on the way.
    check(client.echoes(bytes(4 << 20)), "no echo of a large packet over TLS")
    seen = [session["address"] for session in clients() if session["state"] == "attached"]
    check("127.0.0.9" in seen, f"the relay does not see the client's address, only {seen}")
    back = Client(("127.0.0.1", 443), "127.0.0.9", tls=True, resume=client)
    check(back.handshake.client_id == client.handshake.client_id and back.echoes(), "a client cannot come back")


def tls_haproxy() -> None:
    """TLS by HAProxy, with PROXY headers of version 2 over a unix socket."""
    with Scene("tls-haproxy") as scene:
        scene.certificate()
        scene.relay(group="haproxy")
        scene.start("haproxy", "-db", "-f", scene.recipe / "haproxy.cfg")
        behind_tls(scene)


def tls_stunnel() -> None:
    """TLS by stunnel, with PROXY headers of version 1."""
    with Scene("tls-stunnel") as scene:
        scene.certificate()
        scene.relay()
        scene.start("stunnel4", scene.recipe / "stunnel.conf")
        behind_tls(scene)


def tls_nginx() -> None:
    """TLS by nginx's stream module."""
    with Scene("tls-nginx") as scene:
        scene.certificate()
        scene.relay(group="www-data")
        scene.start("nginx", "-c", scene.recipe / "nginx.conf", "-g", "daemon off;")
        behind_tls(scene)


def two_relays() -> None:
    """A balancer spreads addresses over two relays, keeps each at its relay, and avoids one that drains."""
    with Scene("two-relays") as scene:
        controls = [f"/run/voltlane/{name}.sock" for name in ("one", "two")]
        for name, control, backend in zip(("one", "two"), controls, ("10.0.0.21", "10.0.0.22"), strict=True):
            scene.relay(f"{name}.toml", "--control", f"unix:{control}", backend=f"{backend}:42001")
        proxy = scene.start("haproxy", "-db", "-f", scene.recipe / "haproxy.cfg")
        front = ("10.0.0.10", 42000)
        until(lambda: listens(front), proxy.text)
        first = [Client(front, f"192.0.2.{number}") for number in range(1, 33)]
        at = [{session["address"] for session in clients(control)} for control in controls]
        check(all(at) and sum(map(len, at)) == 32, f"addresses are not spread over the relays: {at}")
        check(len({client.handshake.relay_key.compressed for client in first}) == 1, "the relays' keys differ")
        # Every one of them finds its session again.
        for number, client in enumerate(first, 1):
            client.close()
            first[number - 1] = Client(front, f"192.0.2.{number}", resume=client)
        staying = next(client for number, client in enumerate(first, 1) if f"192.0.2.{number}" in at[0])
        moving = next(address for address in sorted(at[0]))
        subprocess.run([PROGRAMS / "voltlane-ctl", "drain", "--time", "24h", "--control", f"unix:{controls[0]}"],
                       check=True, capture_output=True)
        proxy.wait_for("Server relays/one is DOWN")
        Client(front, moving)
        check(moving in {session["address"] for session in clients(controls[1])}, "it is not at the other relay")
        check(staying.echoes(), "the client of a relay that drains was lost")


def websocket() -> None:
    """WebSocket clients through websockify."""
    with Scene("websocket") as scene:
        scene.relay()
        # websockify runs as root here, which may connect to any unix socket.
        proxy = scene.start(*shlex.split(command_on_page("websockify")))
        until(lambda: listens(("127.0.0.1", 8080)), proxy.text)
        client = subprocess.run(
            [sys.executable, scene.recipe / "client.py", "ws://127.0.0.1:8080", "hello"],
            capture_output=True, text=True, check=False, timeout=60)
        check(client.stdout == "hello\n", f"{client.stdout}{client.stderr}{proxy.text()}")


def logs() -> None:
    """The log in JSON, to a host for logs by rsyslog, which keeps what comes while that is away."""
    log = Path("/var/log/voltlane/relay.log")
    problems = Path("/var/log/voltlane/problems.log")
    with Scene("logs") as scene:
        relay = scene.relay(log=log)
        main = scene.folder / "rsyslog.conf"
        main.write_text(f'global(workDirectory="/var/spool/rsyslog")\ninclude(file="{scene.recipe}/rsyslog.conf")\n')
        shipper = scene.start("rsyslogd", "-n", "-i", scene.folder / "rsyslog.pid", "-f", main)
        client = Client(("127.0.0.1", 42000), "127.0.0.1")
        client.close()
        # Only now is the host for logs there.
        with socket.create_server(("127.0.0.1", 5170)) as server:
            server.settimeout(60)
            connection, _ = server.accept()
            lines = connection.makefile(encoding="utf-8")
            connection.settimeout(60)
            received = [json.loads(lines.readline())]
            while received[-1].get("event") != "backend_connected":
                received.append(json.loads(lines.readline()))
            check(all({"time", "level", "message"} <= set(line) for line in received), received)
            # What logrotate does with copytruncate. What comes next is shorter than what was there.
            shutil.copy(log, scene.folder / "relay.log.1")
            os.truncate(log, 0)
            # A warning: the backend is lost.
            backend: Program = scene.programs[0]
            backend.end()
            while received[-1].get("event") != "backend_lost":
                received.append(json.loads(lines.readline()))
            check(received[-1]["level"] == "warning", received[-1])
            until(lambda: problems.exists() and "backend_lost" in problems.read_text(), shipper.text)
            kept = [json.loads(line) for line in problems.read_text().splitlines()]
            check({line["level"] for line in kept} <= {"warning", "error", "critical"}, kept)
            relay.process.send_signal(signal.SIGTERM)
