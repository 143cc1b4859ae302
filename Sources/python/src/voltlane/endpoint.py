"""Where to connect or listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_FORMS = "host:port, [v6 address]:port or unix:/path"


@dataclass(frozen=True)
class Endpoint:
    """A TCP address or the path of a unix socket.

    >>> Endpoint.parse("[::1]:42000")
    Endpoint(host='::1', port=42000, path=None)
    >>> str(Endpoint.parse("unix:/run/voltlane.sock"))
    'unix:/run/voltlane.sock'
    """

    host: str = ""
    port: int = 0
    #: The path of a unix socket; None for TCP.
    path: str | None = None

    @classmethod
    def parse(cls, text: str | Endpoint) -> Endpoint:
        """Reads ``host:port``, ``[v6 address]:port`` or ``unix:/path``."""
        if isinstance(text, Endpoint):
            return text
        if not isinstance(text, str):
            raise TypeError(f"endpoint: {type(text).__name__} given; a text such as {_FORMS} expected")
        if text.startswith("unix:"):
            if len(text) == len("unix:"):
                raise ValueError(f"endpoint: {text!r} has no path; expected {_FORMS}")
            return cls(path=text[len("unix:") :])
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(f"endpoint: {text!r} has no port from 0 to 65535; expected {_FORMS}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"endpoint: {text!r}: a v6 address goes in brackets, as in [::1]:{port}")
        if not host:
            raise ValueError(f"endpoint: {text!r} has no host; expected {_FORMS}")
        return cls(host, int(port))

    @classmethod
    def of_socket_name(cls, name: Any) -> Endpoint | None:
        """What ``getsockname`` and ``getpeername`` give; None for a unix socket without a name."""
        if isinstance(name, tuple) and len(name) >= 2:
            return cls(str(name[0]), int(name[1]))
        if isinstance(name, str) and name:
            return cls(path=name)
        return None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
