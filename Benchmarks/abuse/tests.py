"""Tests of the suite's own parts; Benchmarks/Tests runs them, and the small form of the suite beside them."""

import json
import os
import socket
import struct
import threading
import unittest
from collections import Counter

from . import cryptography, namespace, table
from .backend import echoes, unasked
from .crowd import Crowd, Gone
from .neighbour import payload, percentile
from .protocol import Frames, fields_of, greeting, packet, read_varint, returning, varint
from .relay import ROOT, counted

VECTORS = json.loads((ROOT / "Tests/Vectors/vectors.json").read_text())


class Bytes(unittest.TestCase):
    def test_varints(self):
        for value, expected in VECTORS["varint"]:
            self.assertEqual(varint(value).hex(), expected)
            self.assertEqual(read_varint(varint(value), 0), (value, len(varint(value))))

    def test_handshake_packets(self):
        self.assertEqual(greeting()[:6].hex(), VECTORS["framed"]["version_2"])
        self.assertEqual(returning(0x0123456789abcdef)[10:].hex(), VECTORS["packets"]["client_id_0x0123456789abcdef"])
        challenge = bytes.fromhex(VECTORS["packets"]["challenge"])
        self.assertEqual(fields_of(challenge, 4).hex(), VECTORS["challenge"]["box"])

    def test_packets_are_cut_wherever_they_were_split(self):
        stream = packet(b"hello") + packet(b"") + packet(b"more")
        for cut in range(len(stream)):
            frames, seen = Frames(), []
            for part in (stream[:cut], stream[cut:]):
                frames.append(part)
                while (data := frames.next()) is not None:
                    seen.append(data)
            self.assertEqual(seen, [b"hello", b"", b"more"])


class Cryptography(unittest.TestCase):
    def test_session_key_is_that_of_the_vectors(self):
        keys = VECTORS["keys"]
        secret = cryptography.Secret(bytes.fromhex(keys["client_secret"]))
        self.assertEqual(secret.point.hex(), keys["client_public_compressed"])
        shared = secret.session_key(bytes.fromhex(keys["server_public_compressed"]))
        self.assertEqual(shared.hex(), VECTORS["ecdh"]["session_key"])

    def test_boxes(self):
        key, known = bytes.fromhex(VECTORS["ecdh"]["session_key"]), VECTORS["challenge"]
        box = bytes.fromhex(known["box"])
        self.assertEqual(cryptography.open_box(key, box).hex(), known["plain"])
        nonce = bytes.fromhex(known["response_nonce"])
        self.assertEqual(cryptography.seal(key, bytes.fromhex(known["plain"]), nonce).hex(), known["response_box"])
        self.assertIsNone(cryptography.open_box(key, bytes([box[0] ^ 1]) + box[1:]))


class Backend(unittest.TestCase):
    def test_data_goes_back_and_the_rest_is_counted(self):
        tagged = {name: bytes.fromhex(value) for name, value in VECTORS["tagged"].items()}
        data, empty = tagged["data_hello_from_0x0123456789abcdef"], tagged["data_empty_from_7"]
        seen = Counter()
        stream = bytearray(data + tagged["failure_7"] + empty + tagged["reconnection_7"] + data[:5])
        answer, end = echoes(stream, seen)
        self.assertEqual(answer, data + empty)
        self.assertEqual(end, len(stream) - 5)
        self.assertEqual(seen, {"packets": 2, "client disconnected": 1, "reconnections": 1})


    def test_packets_that_nobody_asked_for_are_tagged_like_answers(self):
        first, second = unasked("send 7 2 5")
        self.assertEqual(first, second)
        answer, end = echoes(bytearray(first), Counter())
        self.assertEqual(answer, first)
        self.assertEqual((end, first[4:13]), (4 + 9 + 5, struct.pack("<QB", 7, 0)))


class Addresses(unittest.TestCase):
    def test_those_of_different_crowds_never_meet(self):
        for is_wide in (True, False):
            addresses = namespace.Addresses(is_wide)
            spread = {addresses.spread(number) for number in range(0, 60000)}
            self.assertEqual(len({each.rsplit(".", 1)[0] for each in spread}), 60000)
            neighbours = {addresses.neighbour(number) for number in range(1000)}
            self.assertEqual(len({each.rsplit(".", 1)[0] for each in neighbours}), 1000)
            crowded = {addresses.crowded(number) for number in range(250)}
            self.assertEqual(len({each.rsplit(".", 1)[0] for each in crowded}), 1)
            for group in (neighbours, crowded, {addresses.one(number) for number in range(200)}, {addresses.relay}):
                self.assertFalse(spread & group)
            for each in spread | neighbours | crowded:
                socket.inet_aton(each)

    def test_ipv6(self):
        self.assertEqual({namespace.within_64(each)[:10] for each in range(1000)}, {"fd00:0:0:7"})
        across = {namespace.across_32(each) for each in range(20000)}
        self.assertEqual(len({socket.inet_pton(socket.AF_INET6, each)[:8] for each in across}), 20000)
        self.assertEqual({socket.inet_pton(socket.AF_INET6, each)[:4] for each in across}, {b"\x20\x01\x0d\xb8"})


class Crowds(unittest.TestCase):
    """Peers against a listener that does something else with each."""

    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.crowd = Crowd(self.listener.getsockname())
        self.kept = []

    def tearDown(self):
        self.crowd.stop()
        for connection in self.kept:
            connection.close()
        self.listener.close()

    def serve(self, *actions):
        def run():
            for action in actions:
                connection, _ = self.listener.accept()
                if action == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if action == "finish":
                    # Without reading: what the other side goes on sending is not taken.
                    connection.shutdown(socket.SHUT_WR)
                    self.kept.append(connection)
                    continue
                if action == "echo":
                    connection.sendall(connection.recv(100))
                connection.close()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def test_how_connections_end(self):
        thread = self.serve("close", "reset", "echo")

        def script(peer):
            yield from peer.connect("127.0.0.9")
            if peer.number == 2:
                yield from peer.send(packet(b"hello"))
                if (yield from peer.packet()) != b"hello":
                    raise Gone("changed")
                return
            yield from peer.stay()
        self.crowd.run(script, 3, 10, concurrency=1)
        thread.join()
        self.assertEqual(self.crowd.endings, {"closed": 1, "reset": 1, "done": 1})

    def test_who_cannot_send_notices_that_the_other_side_has_finished(self):
        thread = self.serve("finish")

        def script(peer):
            yield from peer.connect("127.0.0.9")
            while True:
                yield from peer.send(bytes(1 << 20))
        self.crowd.run(script, 1, 10)
        thread.join()
        self.assertEqual(self.crowd.endings, {"closed": 1})

    def test_those_who_wait_are_woken_and_those_who_are_left_are_counted(self):
        def script(peer):
            yield from peer.connect("127.0.0.9")
            yield from peer.sleep(0.01 if peer.number else 3600)
        self.crowd.run(script, 3, 0.3)
        self.assertEqual(self.crowd.endings, {"done": 2})
        self.crowd.stop()
        self.assertEqual(self.crowd.endings, {"done": 2, "open": 1})
        self.crowd = Crowd(None)


class Figures(unittest.TestCase):
    def test_counters_are_read(self):
        line = "2026-11-24T18:29:23.042Z info     SIGUSR1: totals since the start  bans=2 clientsRefused=31"
        self.assertEqual(counted(line), {"bans": 2, "clientsRefused": 31})

    def test_percentiles(self):
        self.assertEqual(percentile(list(range(100)), 0.99), 99)
        self.assertIsNone(percentile([], 0.5))

    def test_no_two_packets_are_the_same(self):
        self.assertEqual(len({payload(number, each) for number in range(20) for each in range(50)}), 1000)
        self.assertEqual({len(payload(number, 10**6)) for number in range(20)}, {64})

    @unittest.skipUnless(os.path.exists(table.KEPT), "nothing was kept")
    def test_the_documentation_shows_the_results_that_are_kept(self):
        shown = table.render(json.loads(table.KEPT.read_text()))
        self.assertEqual(table.part(table.DOCUMENT.read_text()), shown, "run tools/abuse --docs")


if __name__ == "__main__":
    unittest.main()
