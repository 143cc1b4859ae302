"""What a lobby and its players say to each other: JSON in packets, each with a kind.

Player to lobby::

    {"kind": "hello", "name": "ada"}                    first of all, and whenever the lobby asks
    {"kind": "move", "x": 3}                            many times a second; worth nothing later
    {"kind": "say", "number": 7, "text": "..."}         numbered from 1, until it is confirmed
    {"kind": "bye"}                                     the player leaves for good: the lobby kicks it

Lobby to player::

    {"kind": "who"}                                     say hello (again): the lobby has just begun
    {"kind": "heard", "number": 7}                      what was said is written down
    {"kind": "said", "name": "ada", "number": 7, "text": "..."}     to everybody
    {"kind": "world", "life": "5eb1", "tick": 812, "players": {"ada": 3}}       to everybody, many times a second
"""

from __future__ import annotations

import json
from typing import Any


def pack(kind: str, **fields: object) -> bytes:
    """A packet."""
    return json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()


def unpack(packet: bytes) -> dict[str, Any]:
    """What a packet says. A packet comes from outside: it may say anything, or nothing, which is an empty dict."""
    try:
        said = json.loads(packet)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
