"""The recipe for a million connections, as far as this machine goes: its settings, and what a connection costs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from scene import PROGRAMS, RECIPES, Client, Scene, check, clients


def settings() -> dict[str, str]:
    """What the recipe sets."""
    lines = (RECIPES / "million/90-voltlane.conf").read_text().splitlines()
    return dict(line.split(" = ") for line in lines if line and not line.startswith("#"))


def million() -> None:
    """The kernel knows every setting, takes those that a namespace has of its own, and the relay its file."""
    refused = []
    for name, value in settings().items():
        # What belongs to the whole machine stays as it is; this one is not even seen from other namespaces.
        if name == "net.ipv4.tcp_mem":
            continue
        path = Path("/proc/sys") / name.replace(".", "/")
        check(path.exists(), f"the kernel has no {name}")
        if name.startswith("fs."):
            current = path.read_text().split()
            check(len(current) == len(value.split()), f"{name} has {len(current)} values, not {value}")
            continue
        applied = subprocess.run(["sysctl", "-q", "-w", f"{name}={value}"], capture_output=True, text=True, check=False)
        if applied.returncode or path.read_text().split() != value.split():
            refused.append(f"{name}: {applied.stderr.strip()} {path.read_text().strip()}")
    check(not refused, refused)
    with Scene("million") as scene:
        relay = scene.relay(backend="10.0.0.21:42001")
        client = Client(("127.0.0.1", 42000), "192.0.2.1")
        check(client.echoes() and len(clients()) == 1, relay.text())
        finding = subprocess.run([PROGRAMS / "voltlane", "--preflight", "--config", scene.recipe / "voltlane.toml"],
                                 capture_output=True, text=True, check=False)
        queue = next((line for line in finding.stdout.splitlines() if "somaxconn" in line or "queue" in line), "")
        check("warn" not in queue.split()[:1], finding.stdout)
