"""Where it is measured, for the results: figures of two machines are not comparable."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from .contenders import ROOT


def read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def field(path, name):
    return next((line.split(":", 1)[1].strip() for line in read(path).splitlines() if line.startswith(name)), "")


def budgets():
    """The rows for a packet's way up and down of tools/instruction-budgets."""
    rows = [line.split() for line in read(ROOT / "tools/instruction-budgets").splitlines()]
    return [row for row in rows if row and row[0] in ("up", "down")]


def describe():
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": output("git", "rev-parse", "--short=12", "HEAD"),
        "changed": bool(output("git", "status", "--porcelain", "--untracked-files=no")),
        "cpu": field("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory": f"{int(field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "hypervisor": output("systemd-detect-virt", "--vm") or "unknown",
        "kernel": platform.release(),
        "system": next(
            (line.split("=", 1)[1].strip('"') for line in read("/etc/os-release").splitlines()
             if line.startswith("PRETTY_NAME=")), ""),
        "swift": (output("swift", "--version").splitlines() or [""])[0],
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "none",
        "default_congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "budgets": budgets(),
    }
