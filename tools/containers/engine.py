"""What a container engine does before it starts an image's entry point, for tools/test-container."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

CONTAINERS = Path(__file__).resolve().parent


class Dockerfile:
    """What the image says of itself."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        stage = text.split("FROM scratch AS relay\n")[1].split("\nFROM ")[0].replace("\\\n", " ")
        self.environment = dict(re.findall(r"\b([A-Z_]+)=(\S+)", stage.split("ENV ")[1].split("\n")[0]))
        self.user = int(re.search(r"^USER (\d+):\1$", stage, re.MULTILINE)[1])
        self.entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", stage, re.MULTILINE)[1])
        self.health = json.loads(re.search(r"^HEALTHCHECK .*CMD (.*)$", stage, re.MULTILINE)[1])


IMAGE = Dockerfile(CONTAINERS / "Dockerfile")


def load_filter(profile: dict, refused: list[str], error: int) -> None:
    """Lets the kernel refuse what the profile does not allow, and besides `refused`, with `error`."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p

    class Comparison(ctypes.Structure):
        _fields_ = [
            ("argument", ctypes.c_uint),
            ("operator", ctypes.c_int),
            ("value", ctypes.c_uint64),
            ("second", ctypes.c_uint64),
        ]

    allow, refuse = 0x7FFF0000, 0x00050000
    operators = {"SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
    default = refuse | profile["defaultErrnoRet"]
    context = ctypes.c_void_p(library.seccomp_init(default))
    for rule in profile["syscalls"]:
        action = allow if rule["action"] == "SCMP_ACT_ALLOW" else refuse | rule["errnoRet"]
        comparisons = (Comparison * 6)()
        for index, argument in enumerate(rule.get("args", [])):
            comparisons[index] = Comparison(
                argument["index"], operators[argument["op"]], argument["value"], argument.get("valueTwo", 0)
            )
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # What another architecture has.
            if number < 0:
                continue
            verdict = refuse | error if name in refused else action
            if verdict == default:
                continue
            code = library.seccomp_rule_add_array(
                context, verdict, number, len(rule.get("args", [])), comparisons
            )
            if code < 0:
                raise OSError(-code, os.strerror(-code), name)
    code = library.seccomp_load(context)
    if code < 0:
        raise OSError(-code, os.strerror(-code), "seccomp_load")


def mount(source: str, target: Path, kind: str, *options: str) -> None:
    """Mounts something, with the program of that name."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, source, str(target)], check=True)


def inside(root: Path, order: dict) -> None:
    """Becomes process 1 of a container."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", str(root), str(root)], check=True)
    mount("proc", root / "proc", "proc")
    mount("tmpfs", root / "dev", "tmpfs", "-o", "mode=755")
    for device in ("null", "zero", "urandom"):
        (root / "dev" / device).touch()
        subprocess.run(["mount", "--bind", f"/dev/{device}", str(root / "dev" / device)], check=True)
    for folder, mode in (("run/voltlane", 755), ("var/lib/voltlane", 700)):
        mount("tmpfs", root / folder, "tmpfs", "-o", f"uid={IMAGE.user},gid={IMAGE.user},mode={mode}")
    for source, target in order["volumes"].items():
        (root / target).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, str(root / target)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(root)], check=True)
    with socket.socket() as any_socket:
        # SIOCSIFFLAGS: the loopback is up.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))
    libc = ctypes.CDLL(None, use_errno=True)
    profile = json.loads((CONTAINERS / "seccomp-io-uring.json").read_text())
    # Loaded now: there is none of it in the root.
    ctypes.CDLL("libseccomp.so.2")
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(IMAGE.user)
    os.setuid(IMAGE.user)
    # PR_SET_NO_NEW_PRIVS
    libc.prctl(38, 1, 0, 0, 0)
    load_filter(profile, order["refused"], order["error"])
    os.execve(order["command"][0], order["command"], order["environment"])


if __name__ == "__main__":
    inside(Path(sys.argv[1]), json.loads(sys.argv[2]))
