"""Many addresses: a network namespace in which whole networks are this machine's own."""

import ipaddress
import os
import shutil
import subprocess
import sys

#: What is there in the namespace, all of it on its loopback.
NETWORKS = ("10.0.0.0/8", "fd00::/16", "2001:db8::/32")
#: A route is enough to bind to an IPv4 address. One of IPv6 that is listened on has to be there itself.
SET_UP = [
    ["ip", "link", "set", "lo", "up"], *(["ip", "route", "add", "local", each, "dev", "lo"] for each in NETWORKS),
    ["ip", "address", "add", "fd00::1/128", "dev", "lo", "nodad"]]
#: Says that this process is in the namespace already.
MARK = "VOLTLANE_ABUSE_NAMESPACE"


def enter(module):
    """Runs `python -m module` with this process's arguments again, in a namespace of its own, where the machine lets
    it. Returns where it does not."""
    if MARK in os.environ:
        set_up()
        return
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if can(command):
            os.environ[MARK] = "1"
            command += [sys.executable, "-m", module, *sys.argv[1:]]
            os.execvp(command[0], command)


def can(command):
    """Whether a namespace made in this way takes the networks."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    script = " && ".join(" ".join(each) for each in SET_UP)
    return subprocess.run([*command, "sh", "-c", script], capture_output=True, check=False).returncode == 0


def set_up():
    for command in SET_UP:
        subprocess.run(command, check=True)


class Addresses:
    """The addresses that connections come from. In a namespace the networks above; without one those of 127.0.0.0/8,
    which every machine has, and no IPv6."""

    def __init__(self, wide=None):
        self.is_wide = MARK in os.environ if wide is None else wide
        self.network = "10" if self.is_wide else "127"
        self.relay = f"{self.network}.0.0.1"
        self.relay6 = "fd00::1" if self.is_wide else None

    def flags(self):
        """What the relay needs in order to limit them."""
        return [] if self.is_wide else ["--limit-loopback", "on"]

    def one(self, number):
        """An address of the network 1 that differs with each number below 254."""
        return f"{self.network}.1.0.{number + 1}"

    def spread(self, number):
        """An address in a /24 of its own for each number below 60,000."""
        return f"{self.network}.{2 + number // 250}.{number % 250}.9"

    def crowded(self, number):
        """An address of one and the same /24."""
        return f"{self.network}.250.1.{1 + number % 250}"

    def neighbour(self, number):
        """Addresses of clients that do nothing wrong, each in a /24 of its own."""
        return f"{self.network}.{251 + number // 250 % 4}.{number % 250}.7"


def within_64(number):
    """Another address of one IPv6 /64 for each number."""
    return str(ipaddress.IPv6Address((0xfd00 << 112 | 0x77 << 64) + number + 1))


def across_32(number):
    """An address in another /64 of the same IPv6 /32 for each number below 2^32; neighbours in number are far apart."""
    mixed = number * 2654435761 % 2**32
    return str(ipaddress.IPv6Address(0x20010db8 << 96 | mixed << 64 | 1))
