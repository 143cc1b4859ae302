"""A relay that is only played: its admin endpoint, with whatever figures a test wants the page to show."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "Sources/Voltlane/Admin/status.html"

Json = dict[str, Any]


def policy(page: str) -> str:
    """The Content-Security-Policy that the page asks for at its top."""
    hashes = {}
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes[tag] = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )


class PlayedRelay:
    """Serves the page and JSON. Whatever is added up follows from rates and this process's clock."""

    def __init__(self, page: Path = PAGE) -> None:
        self.page = page.read_text()
        self.policy = policy(self.page)
        # What is replaced in /varz: values, dictionaries that are merged, or None to leave a field out.
        self.changes: Json = {}
        self.rates: Json = {"packets_up": 1000.0, "packets_down": 3000.0, "bytes_up": 64e3, "bytes_down": 192e3}
        self.refused: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.clients: list[Json] = []
        self.ended_list: list[Json] = []
        self.threads = [("shard 0", ["shard 0", "firehose"], 0.31), ("shard 1", ["shard 1"], 0.22),
                        ("handshakes 0", ["handshakes 0"], 0.04), ("control", ["control"], 0.01)]
        self.shards = 2
        # "answer", "fail" (500), "garbage", "cut" (closes at once).
        self.manner = "answer"
        self.start = time.time() - 7500
        # When each request came, for what, and how many bytes of body it got.
        self.asked: list[tuple[float, str, int]] = []
        self._changed = time.time()
        self._counts: dict[str, float] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self) -> PlayedRelay:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def asked_for(self, path: str) -> int:
        """How many requests there were for a path, whatever its query."""
        return sum(1 for _, asked, _ in list(self.asked) if asked.split("?")[0] == path)

    def restart(self) -> None:
        """Begins to count anew."""
        with self._lock:
            self.start = time.time() - 1
            self._counts.clear()

    def _count(self, key: str, rate: float, seconds: float) -> int:
        self._counts[key] = self._counts.get(key, 0.0) + rate * seconds
        return round(self._counts[key])

    def varz(self) -> Json:
        """One answer of /varz."""
        with self._lock:
            now = time.time()
            seconds = now - self._changed
            self._changed = now
            counters = {name: self._count(name, rate, seconds) for name, rate in self.rates.items()}
            turns = self.rates["packets_up"] / 40

            def histogram(name: str, power: int, divisor: float, middle: int, rate: float) -> Json:
                """As the relay has them: 16 powers of two and the rest, most values in the middle bucket."""
                weights = [2.0 ** -abs(place - middle) for place in range(17)]
                buckets: list[list[float | None]] = []
                below = 0
                for place, weight in enumerate(weights):
                    below += self._count(f"{name} {place}", rate * weight / sum(weights), seconds)
                    buckets.append([round(2 ** (place + power) / divisor, 6) if place < 16 else None, below])
                return {"buckets": buckets, "count": below, "sum": round(below * 2 ** (middle + power) / divisor, 6)}

            per_shard = {name: self.rates[name] / max(self.shards, 1)
                         for name in ("packets_up", "packets_down", "bytes_up", "bytes_down")}
            varz: Json = {
                "version": "0.1.0", "uptime_seconds": round(now - self.start, 3), "now": round(now, 3),
                "state": "running", "ready": True, "ready_reason": "", "clients": 1234, "clients_limit": 10000,
                "sessions": {"attached": 1200, "stale": 31, "handshakes": 3},
                "counters": counters | {"sessions_started": 5000, "handshakes_malformed": 2},
                "ended": {reason: self._count("ended " + reason, rate, seconds) for reason, rate in self.ended.items()},
                "refused": {reason: self._count("refused " + reason, rate, seconds)
                            for reason, rate in self.refused.items()},
                "memory": {
                    "used_bytes": 220 << 20, "budget_bytes": 2 << 30, "pending_bytes": 310_000,
                    "missed_bytes": 120_000, "missed_budget_bytes": 256 << 20, "unfinished_bytes": 9000,
                    "unfinished_budget_bytes": 256 << 20,
                },
                "firehose": {"state": "connected", "oldest_unsent_seconds": 0.002, "connected_since_seconds": 7400.5},
                "threads": [{"name": name, "roles": roles,
                             "cpu_seconds": self._count("cpu " + name, share * 1e4, seconds) / 1e4}
                            for name, roles, share in self.threads],
                "shards": [{"shard": place, "clients": 600 + place, "uplink_fill": 0.01, "downlink_fill": 0.02,
                            **{name: self._count(f"{name} {place}", rate, seconds)
                               for name, rate in per_shard.items()}}
                           for place in range(self.shards)],
                "histograms": {
                    "turn_packets": histogram("turn", 0, 1, 5, turns),
                    "firehose_send_bytes": histogram("send", 6, 1, 6, turns),
                    "handshake_seconds": histogram("handshake", 17, 1e9, 5, 4),
                    "uplink_seconds": histogram("uplink", 10, 1e9, 6, 100),
                },
                "limits": [
                    {"name": "clients", "used": 1234, "limit": 10000},
                    {"name": "handshakes", "used": 3, "limit": 1024},
                    {"name": "memory", "used": 220 << 20, "limit": 2 << 30},
                    {"name": "stale_clients", "used": 31, "limit": 10000},
                    {"name": "file_descriptors", "used": 1260, "limit": 1048576},
                ],
            }
            for key, value in self.changes.items():
                if value is None:
                    varz.pop(key, None)
                elif isinstance(value, dict) and isinstance(varz.get(key), dict):
                    varz[key] |= value
                else:
                    varz[key] = value
            return varz

    def _answer(self, path: str) -> tuple[int, str, str]:
        if path == "/":
            return 200, "text/html; charset=utf-8", self.page
        if self.manner == "fail":
            return 500, "text/plain; charset=utf-8", "out of order\n"
        if self.manner == "garbage":
            return 200, "application/json", '{"clients": 12'
        name, _, query = path.partition("?")
        if name == "/varz":
            return 200, "application/json", json.dumps(self.varz(), separators=(",", ":"))
        if name == "/clients":
            column = re.search("sort=([a-z_]+)", query)
            rows = sorted(self.clients, key=lambda client: -client[column[1]] if column else 0)[:8]
            answer: Json = {"clients": rows, "next": None, "total": len(self.clients)}
            return 200, "application/json", json.dumps(answer, separators=(",", ":"))
        if name == "/ended":
            return 200, "application/json", json.dumps({"ended": self.ended_list[:10]}, separators=(",", ":"))
        return 404, "text/plain; charset=utf-8", "not found\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"
            # Chromium asks the next thing on the same connection, which Nagle's algorithm would hold back.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:  # pylint: disable=invalid-name
                """Answers, in the relay's manner."""
                if relay.manner == "cut" and self.path != "/":
                    relay.asked.append((time.monotonic(), self.path, 0))
                    self.close_connection = True
                    return
                status, kind, text = relay._answer(self.path)
                body = text.encode()
                relay.asked.append((time.monotonic(), self.path, len(body)))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", relay.policy)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing: a failing test says what matters."""

        return Handler
