"""What an idle connection costs in memory: tools/test-recipes costs [CONNECTIONS]

Not a test. It opens connections over the loopback, whose two ends are both in this kernel, so it does so twice: to a
program that only accepts, where half of what they take is one socket's cost; and to the relay, where what is over the
client's half is the relay's.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import traceback
from pathlib import Path

from scene import Client, Scene, check

#: Sockets that a process of clients holds, and clients that a relay gets: as many relays as that takes.
SHARE = 9000
LARGEST = min(1_000_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)


def slab() -> dict[str, int]:
    """Bytes in each of the kernel's caches, without what is left of sockets that are gone."""
    for cache in Path("/sys/kernel/slab").glob("*/shrink"):
        with contextlib.suppress(OSError):
            cache.write_text("1")
    sizes = {}
    for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
        name, _, _, _, _, pages, *rest = line.split()
        # Of whoever looks into /proc meanwhile.
        if name == "proc_inode_cache":
            continue
        sizes[name] = int(rest[rest.index("slabdata") + 2]) * int(pages) * os.sysconf("SC_PAGE_SIZE")
    return sizes


def resident(process: int) -> int:
    """A process's own memory."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_", "Swap:")))


class Holder:
    """A process that holds what its work makes, until it is let go."""

    def __init__(self, work) -> None:
        inner, outer = os.pipe()
        self.gate, gate = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(gate)
            try:
                held = work()
                os.write(outer, b"!")
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            # Its end closes, and that of whoever made it.
            os.read(self.gate, 1)
            del held
            os._exit(0)
        self.gate = gate
        os.close(outer)
        check(os.read(inner, 1), "not all connections could be made")
        os.close(inner)

    def end(self) -> None:
        """Lets it go."""
        os.write(self.gate, b"!")
        os.waitpid(self.process, 0)


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What has grown."""
    return {name: size - before.get(name, 0) for name, size in after.items() if size != before.get(name, 0)}


def show(title: str, grown: dict[str, int], count: int) -> None:
    """A table of bytes for each connection."""
    print(f"{title}: {sum(grown.values()) / count:.0f} bytes of the kernel for each connection")
    for name, size in sorted(grown.items(), key=lambda item: -item[1])[:12]:
        print(f"    {name:24} {size / count:8.0f}")


def plain(count: int) -> dict[str, int]:
    """Both ends as sockets that nobody does anything with."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    before = slab()
    held = []
    # The kernel makes connections before somebody accepts them, as many as the queue has places for.
    for start in range(0, count, 4000):
        number = min(4000, count - start)
        held.append(Holder(lambda n=number: [socket.create_connection(listener.getsockname()) for _ in range(n)]))
        held.append(Holder(lambda n=number: [listener.accept()[0] for _ in range(n)]))
    grown = growth(before, slab())
    for holder in held:
        holder.end()
    return grown


def costs(count: int) -> None:
    """Prints what was measured."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 41999")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    pair = plain(min(count, LARGEST))
    pair = {name: size * count // min(count, LARGEST) for name, size in pair.items()}
    show("two plain sockets", pair, count)
    with Scene("million") as scene:
        shares = [min(LARGEST, count - start) for start in range(0, count, LARGEST)]
        relays = [
            scene.relay("voltlane.toml", "--listen", f"127.0.0.1:{43000 + number}", "--threads", "1", "--max-clients",
                        "auto", "--stale-timeout", "0s", "--handshake-timeout", "0", "--control",
                        f"unix:/run/voltlane/{number}.sock", "--backend", f"127.0.0.1:{44000 + number}",
                        backend=f"127.0.0.1:{44000 + number}")
            for number in range(len(shares))
        ]
        caches, own = slab(), sum(resident(relay.process.pid) for relay in relays)
        held = []
        for number, share in enumerate(shares):
            for start in range(0, share, SHARE):
                # From another address for each relay, because an address has so many ports.
                held.append(Holder(lambda k=number, n=min(SHARE, share - start): [
                    Client(("127.0.0.1", 43000 + k), f"127.0.1.{k}") for _ in range(n)]))
        grown = growth(caches, slab())
        mine = sum(resident(relay.process.pid) for relay in relays) - own
        show(f"a client and the relay, {len(relays)} of them", grown, count)
        print(f"the relay's own memory: {mine / count:.0f} bytes for each connection")
        print(f"of the kernel, the relay's side: {(sum(grown.values()) - sum(pair.values()) / 2) / count:.0f} bytes")
        for holder in held:
            holder.end()
