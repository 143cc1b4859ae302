"""Thousands of scripted peers in one thread. A script is a generator: it yields what it waits for."""

import errno
import heapq
import select
import socket
import struct
import time
from collections import Counter

from .protocol import CHALLENGE, CLIENT_ID, PUBLIC_KEY, PING, Frames, Unexpected
from .protocol import fields_of, greeting, response, returning

IN, OUT = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLOUT
#: Nothing but the end of a connection of which nothing is read.
END = select.EPOLLRDHUP
#: Any address that is routed here will do, even if nobody gave it to an interface; Python has no name for it.
_IPV6_FREEBIND = 78
#: Closing a socket then resets its connection, which leaves no port behind in TIME_WAIT.
RESET = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The connection is over: `closed` by the relay, `reset`, `unreached`, or `unheard` where nothing answers."""


class Peer:
    """One connection. Its methods with `yield` belong into scripts: `yield from peer.connect()`."""

    def __init__(self, crowd, number):
        self.crowd, self.number = crowd, number
        self.frames = Frames()
        self.socket = self.waiting = self.relay_key = None
        self.registered = 0

    def connect(self, source, patience=None, window=None, segment=None):
        """Gives up after that time, where there is one: TCP alone would try again and again. Where `window` and
        `segment` are given, the kernel receives no more ahead, and in no larger pieces."""
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if segment:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        # The port is chosen at the connect: any number of addresses can have the same one.
        self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        self.socket.bind((source, 0))
        error = self.socket.connect_ex(self.crowd.target(family))
        if error == errno.EINPROGRESS:
            yield OUT, patience
            if not self.events:
                raise Gone("unheard")
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error not in (0, errno.ECONNRESET):
            raise Gone("unreached")
        self.crowd.connected += 1
        if error:
            # It was there, and reset before this was looked at.
            raise Gone("reset")

    def send(self, data):
        while data:
            try:
                data = data[self.socket.send(data):]
            except BlockingIOError:
                yield OUT | select.EPOLLRDHUP, None
                # A peer that is told to go while it cannot send would wait for ever.
                if self.events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP) and not self.events & OUT:
                    raise Gone(self.ending()) from None
            except (ConnectionResetError, BrokenPipeError):
                raise Gone("reset") from None

    def receive(self, size=65536):
        """What has come. Raises Gone where nothing more will."""
        while True:
            try:
                data = self.socket.recv(size)
            except BlockingIOError:
                yield IN, None
                continue
            except OSError:
                raise Gone("reset") from None
            if not data:
                raise Gone("closed")
            return data

    def packet(self):
        """The next packet's data."""
        while True:
            data = self.frames.next()
            if data is not None:
                return data
            self.frames.append((yield from self.receive()))

    def handshake(self, *point):
        """A new client's. The id."""
        yield from self.send(greeting(*point))
        self.relay_key = fields_of((yield from self.packet()), PUBLIC_KEY)
        client = fields_of((yield from self.packet()), CLIENT_ID)
        self.crowd.clients += 1
        return client

    def come_back(self, client, secret, wrong=False):
        """A returning client's, up to the ping, which the relay sends to nobody whose response was wrong."""
        yield from self.send(returning(client))
        relay_key = fields_of((yield from self.packet()), PUBLIC_KEY)
        challenge = fields_of((yield from self.packet()), CHALLENGE)
        yield from self.send(response(secret.session_key(relay_key), challenge, wrong))
        if (yield from self.packet()) != bytes([PING]):
            raise Unexpected("something else than the ping")
        self.crowd.clients += 1

    def sleep(self, seconds):
        """Time passes, or the relay ends the connection."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield END, end - time.monotonic()
            if self.events & (END | select.EPOLLHUP | select.EPOLLERR):
                raise Gone(self.ending())

    def stay(self):
        """Reads nothing, and stays until the relay ends the connection."""
        while True:
            yield from self.sleep(3600)

    def ending(self):
        """How a connection ended of which nothing was read: a reset is an error of the socket."""
        return "reset" if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "closed"

    def close(self):
        if self.socket:
            self.socket.close()


class Crowd:
    """Peers that follow `script(peer)`. `endings` counts how they ended: with the words of Gone, `done` where the
    script came to its end, `open` where it had to be stopped."""

    def __init__(self, relay, relay6=None):
        self.addresses = {socket.AF_INET: relay, socket.AF_INET6: relay6}
        self.epoll = select.epoll()
        self.peers = {}
        self.timers = []
        self.endings = Counter()
        self.started = self.connected = self.clients = self.order = 0

    def target(self, family):
        return self.addresses[family]

    @property
    def open(self):
        return len(self.peers)

    def run(self, script, count, seconds, rate=None, concurrency=None, watch=None):
        """Starts `count` peers, `rate` a second, at most `concurrency` at a time; for so many seconds, or until all
        have ended. `watch` is called now and then. May be called again: connected clients stay."""
        start = time.monotonic()
        first = self.started
        watched = 0.0
        while True:
            now = time.monotonic()
            if now - start >= seconds:
                break
            due = count if rate is None else min(count, int((now - start) * rate) + 1)
            # A few at a time, so that connected clients are served meanwhile.
            for _ in range(50):
                if self.started - first >= due or (concurrency and len(self.peers) >= concurrency):
                    break
                self.start(script)
            starved = self.started - first < due and not (concurrency and len(self.peers) >= concurrency)
            if self.started - first >= count and not self.peers:
                break
            if watch and now - watched >= 0.05:
                watched = now
                watch()
            pause = 0.0 if starved else min(0.02, max(0.0, seconds - (now - start)))
            if rate and self.started - first < count:
                pause = min(pause, 1 / rate)
            self.turn(pause)

    def start(self, script):
        peer = Peer(self, self.started)
        self.started += 1
        peer.script = script(peer)
        self.go_on(peer, 0)

    def turn(self, timeout):
        if self.timers:
            timeout = min(timeout, max(0.0, self.timers[0][0] - time.monotonic()))
        for fd, events in self.epoll.poll(timeout, 1024):
            peer = self.peers.get(fd)
            if peer:
                self.go_on(peer, events)
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            _, order, peer = heapq.heappop(self.timers)
            if peer.waiting == order:
                self.go_on(peer, 0)

    def go_on(self, peer, events):
        peer.events, peer.waiting = events, None
        try:
            wanted, seconds = next(peer.script)
        except StopIteration:
            return self.end(peer, "done")
        except Gone as gone:
            return self.end(peer, str(gone))
        except (IndexError, KeyError, ValueError, Unexpected):
            return self.end(peer, "confused")
        fd = peer.socket.fileno()
        if not peer.registered:
            self.peers[fd] = peer
            self.epoll.register(fd, wanted)
        elif peer.registered != wanted:
            self.epoll.modify(fd, wanted)
        peer.registered = wanted
        if seconds is not None:
            self.order += 1
            peer.waiting = self.order
            heapq.heappush(self.timers, (time.monotonic() + seconds, self.order, peer))

    def end(self, peer, ending):
        self.endings[ending] += 1
        if peer.socket:
            self.peers.pop(peer.socket.fileno(), None)
        peer.close()

    def stop(self):
        """Resets all that are left."""
        for peer in list(self.peers.values()):
            self.end(peer, "open")
        self.epoll.close()
