"""The relay under test, and what stands in for parts of the network."""

import itertools
import os
import socket
import struct
import subprocess
import threading
import time

from peer import Failure

HOST = "127.0.0.1"


_numbers = itertools.count(os.getpid() % 100 * 200)


def free_port():
    """A port on which nobody listens, for a relay that will. The kernel gives none out so far below its own range, so
    no other scenario gets it until then."""
    while True:
        port = 10_000 + next(_numbers) % 20_000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def reset(connection):
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Relay:
    # Those that run, to be ended where the runner is.
    running = set()

    def __init__(self, program, log_path, backend_port, flags=()):
        self.program, self.log_path = program, log_path
        self.port, self.backend_port, self.flags = free_port(), backend_port, list(flags)
        self.process = None

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def start(self, *flags):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [self.program, "--listen", self.address, "--backend", f"{HOST}:{self.backend_port}", "--shards", "1"]
                # The machine may be busy, and a client slow to answer.
                + ["--handshake-timeout", "60s"]
                + self.flags
                + list(flags),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.running.add(self.process)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"the relay does not start; its log: {self.log_path}") from None
                time.sleep(0.01)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.running.discard(self.process)
            self.process = None


class Cable:
    """Stands between a client and the relay, and can be cut."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server((HOST, 0))
        self.sockets, self.lock, self.is_whole = [], threading.Lock(), True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"{HOST}:{self.listener.getsockname()[1]}"

    def _accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                if not self.is_whole:
                    reset(near)
                    continue
                try:
                    far = socket.create_connection((HOST, self.port), 30)
                except OSError:
                    reset(near)
                    continue
                far.settimeout(None)
                self.sockets += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """Ends every connection, and takes no new one until it is mended."""
        with self.lock:
            self.is_whole = False
            for each in self.sockets:
                try:
                    # Wakes the threads that read it, and resets it for the other side.
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                each.close()
            self.sockets = []

    def mend(self):
        with self.lock:
            self.is_whole = True

    def close(self):
        self.cut()
        self.listener.close()


class FakeRelay:
    """Plays a relay's part by a function, which is called with each connection and its number."""

    def __init__(self, play):
        self.play, self.failure, self.count = play, None, 0
        self.listener = socket.create_server((HOST, 0))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"{HOST}:{self.listener.getsockname()[1]}"

    def _run(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.count += 1
            connection.settimeout(60)
            try:
                self.play(connection, self.count)
            except Exception as error:  # It is the runner that has to hear of it.
                self.failure = self.failure or error
            finally:
                connection.close()

    def close(self):
        self.listener.close()
        if self.failure:
            raise Failure(f"the fake relay: {self.failure!r}")


def read_packet(connection):
    """One size-prefixed packet, without its size; None at the end."""
    header = _read(connection, 4)
    return None if header is None else _read(connection, struct.unpack("<I", header)[0])


def _read(connection, size):
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def framed(packet):
    return struct.pack("<I", len(packet)) + packet
