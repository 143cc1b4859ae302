"""Options of TCP sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

# A connection counts as lost after this many probes without an answer.
_PROBES = 3


def set_options(transport: asyncio.BaseTransport, keepalive: float | None, user_timeout: float | None) -> None:
    """Has the kernel notice a network that is dead; a unix socket, which has none, is left alone.

    ``keepalive``: the silence after which the other side is probed; it counts as lost after twice that.
    ``user_timeout``: how long what was sent may stay unacknowledged. Where a system lacks an option it is left out.
    """
    sock: Any = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle = max(1, round(keepalive))
        # Darwin calls it otherwise.
        name = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
        for option, value in ((name, idle), ("TCP_KEEPINTVL", max(1, idle // _PROBES)), ("TCP_KEEPCNT", _PROBES)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if user_timeout is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(user_timeout * 1000)))


def is_its_own_peer(transport: asyncio.BaseTransport) -> bool:
    """Whether TCP connected a socket to itself: a port from which it may dial can be the very one that it dials."""
    name = transport.get_extra_info("sockname")
    return isinstance(name, tuple) and name == transport.get_extra_info("peername")
