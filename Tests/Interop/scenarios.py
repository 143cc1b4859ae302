"""What is played. Each scenario is a function whose first line says what it shows; a `@pair` scenario gets a client and
a backend with a relay between them, a `@client` or `@backend` scenario that peer alone."""

import json
import socket
import struct
import zlib
from pathlib import Path

from network import HOST, Cable, FakeRelay, framed, read_packet, reset
from peer import Failure
from sealed import open_box

LARGEST = 8388599
# What no wait should need; it is long only where something is wrong.
LONG = 60000
# How long something must not come. Only a library that is wrong makes this matter.
QUIET = 150

PAIR, CLIENT, BACKEND = [], [], []


def pair(function):
    PAIR.append(function)
    return function


def client(function):
    CLIENT.append(function)
    return function


def backend(function):
    BACKEND.append(function)
    return function


def generated(size, seed):
    block = bytes((i + seed) % 256 for i in range(251))
    return (block * (size // 251 + 1))[:size]


def summary(data):
    """How peers tell of a packet."""
    return [len(data), f"{zlib.crc32(data):08x}"]


def spec(data):
    return "hex:" + data.hex()


def expect(condition, what):
    if not condition:
        raise Failure(what)


# ---- With a relay between them ----


@pair
def packets(t):
    """A packet each way, and an empty one."""
    t.start()
    ident = t.connect()
    for data in (b"hello", b""):
        t.client.ok(f"send {spec(data)}")
        t.backend.gives(f"receive {LONG}", "data", ident, *summary(data))
        t.backend.ok(f"send {ident} {spec(data[::-1])}")
        t.client.gives(f"receive {LONG}", "packet", *summary(data[::-1]))
    t.client.gives(f"receive {QUIET}", "timeout")


@pair
def order(t):
    """Five hundred packets each way, in order."""
    t.start()
    ident = t.connect()
    for i in range(500):
        t.client.ok(f"send {spec(b'up %d' % i)}")
        t.backend.ok(f"send {ident} {spec(b'down %d' % i)}")
    for i in range(500):
        t.client.gives(f"receive {LONG}", "packet", *summary(b"down %d" % i))
        t.backend.gives(f"receive {LONG}", "data", ident, *summary(b"up %d" % i))


@pair
def sizes(t):
    """Packets of 65,535 to 65,537 bytes and of the largest size arrive unharmed, one after the other."""
    t.start()
    ident = t.connect()
    # The small one behind each shows whether the next receive harms it.
    for seed, size in enumerate([65535, 65536, 65537, 1, LARGEST, 2]):
        data = generated(size, seed)
        t.client.ok(f"send gen:{size}:{seed}")
        t.backend.gives(f"receive {LONG}", "data", ident, *summary(data))
        t.backend.ok(f"send {ident} gen:{size}:{seed}")
        t.client.gives(f"receive {LONG}", "packet", *summary(data))


@pair
def too_large(t):
    """A packet above the maximum is refused by the library, and the connections go on."""
    t.start()
    ident = t.connect()
    t.client.error(f"send gen:{LARGEST + 1}:0", "too-large")
    t.client.ok(f"send {spec(b'still here')}")
    t.backend.gives(f"receive {LONG}", "data", ident, *summary(b"still here"))
    t.backend.error(f"send {ident} gen:{LARGEST + 1}:0", "too-large")
    t.backend.ok(f"send {ident} {spec(b'so am I')}")
    t.client.gives(f"receive {LONG}", "packet", *summary(b"so am I"))


@pair
def resume(t):
    """A client comes back from a saved session; what it missed comes in order, before what is new."""
    t.start()
    ident, key = t.client.ok(f"connect {t.relay.address} manual")
    t.say_hello(ident)
    t.client.ok(f"save {t.file('session')}")
    t.client.ok("close")
    for i in range(20):
        t.backend.ok(f"send {ident} {spec(b'missed %d' % i)}")
    expect(t.client.ok(f"resume {t.relay.address} {t.file('session')} manual") == [ident, key], "another id or key")
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    t.backend.ok(f"send {ident} {spec(b'new')}")
    for i in range(20):
        t.client.gives(f"receive {LONG}", "packet", *summary(b"missed %d" % i))
    t.client.gives(f"receive {LONG}", "packet", *summary(b"new"))
    t.say_hello(ident)


@pair
def hand_over(t):
    """The session that one library saved is resumed by each of the others, and then again by the first."""
    t.start()
    ident, key = t.client.ok(f"connect {t.relay.address} manual")
    t.say_hello(ident)
    t.client.ok(f"save {t.file('session')}")
    for other in t.other_clients():
        # Where the connection before still looks alive, it is that one that ends.
        expect(other.ok(f"resume {t.relay.address} {t.file('session')} manual") == [ident, key], "another id or key")
        t.backend.gives(f"receive {LONG}", "reconnection", ident)
        other.ok(f"save {t.file('session')}")
        other.ok(f"send {spec(b'by another')}")
        t.backend.gives(f"receive {LONG}", "data", ident, *summary(b"by another"))
    t.client.ok("close")
    t.client.ok(f"resume {t.relay.address} {t.file('session')} manual")
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    t.say_hello(ident)


@pair
def session_over(t):
    """A client that was away for too long is told that its session is over, and the backend why it ended."""
    # A closed socket is a half-closed one until the relay sends something, or until that time is over.
    t.start("--stale-timeout", "100ms", "--half-close-timeout", "100ms")
    ident = t.connect()
    t.say_hello(ident)
    t.client.ok(f"save {t.file('session')}")
    t.client.ok("close")
    t.backend.gives(f"receive {LONG}", "failure", ident, "stale", "timeout")
    t.client.error(f"resume {t.relay.address} {t.file('session')} manual", "session-over")
    # Of an id whose end the backend has told, a library may keep the relay's further answers to itself.
    t.backend.ok(f"send {ident} {spec(b'too late')}")
    nobody = f"{int(ident, 16) ^ 1:016x}"
    t.backend.ok(f"send {nobody} {spec(b'to nobody')}")
    answer = t.backend.ask(f"receive {LONG}")
    if answer == ["failure", ident, "unknown", "client"]:
        answer = t.backend.ask(f"receive {LONG}")
    expect(answer == ["failure", nobody, "unknown", "client"], f"expected that nobody is {nobody}, got {answer}")
    t.say_hello(t.connect())


@pair
def kick(t):
    """A kick ends a client after what was sent to it before; it does not come back, by itself or otherwise."""
    t.start()
    for mode, ending in (("manual", ["closed"]), ("auto", ["error", "session-over"])):
        ident = t.connect(mode)
        t.say_hello(ident)
        t.backend.ok(f"send {ident} {spec(b'goodbye')}")
        t.backend.ok(f"kick {ident}")
        t.client.gives(f"receive {LONG}", "packet", *summary(b"goodbye"))
        answer = t.client.ask(f"receive {LONG}")
        expect(answer[: len(ending)] == ending, f"expected {ending}, got {answer}")
        t.backend.gives(f"receive {LONG}", "failure", ident, "kicked")
        t.client.ok(f"save {t.file('session')}")
        t.client.ok("close")
        t.client.error(f"resume {t.relay.address} {t.file('session')} manual", "session-over")
        t.backend.gives(f"receive {QUIET}", "timeout")


@pair
def half_close(t):
    """A client that has finished still receives, until the relay ends the connection."""
    t.start("--half-close-timeout", "3s")
    ident = t.connect()
    t.say_hello(ident)
    t.client.ok(f"send {spec(b'the last')}")
    t.client.ok("finish")
    t.client.error(f"send {spec(b'one more')}", "closed")
    t.backend.gives(f"receive {LONG}", "data", ident, *summary(b"the last"))
    t.backend.ok(f"send {ident} {spec(b'an answer')}")
    t.client.gives(f"receive {LONG}", "packet", *summary(b"an answer"))
    answer = t.client.ask(f"receive {LONG}")
    # The relay ends it with a reset; what is in order is that it ends, and that nothing more comes.
    expect(answer[0] == "closed" or answer[:2] == ["error", "connection-lost"], f"expected an end, got {answer}")


@pair
def network_lost(t):
    """A client comes back by itself when its network was away; what was sent meanwhile arrives, each way."""
    t.start()
    cable = t.closing(Cable(t.relay.port))
    ident, _ = t.client.ok(f"connect {cable.address} auto")
    t.say_hello(ident)
    cable.cut()
    t.backend.ok(f"send {ident} {spec(b'while you were out')}")
    cable.mend()
    t.client.gives(f"receive {LONG}", "packet", *summary(b"while you were out"))
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    t.say_hello(ident)


@pair
def lost_within_packet(t):
    """A packet that the network cut arrives whole on the next connection, or not at all; what follows does."""
    t.start("--missed-packets-buffer", "8MiB")
    cable = t.closing(Cable(t.relay.port))
    ident, _ = t.client.ok(f"connect {cable.address} auto")
    t.say_hello(ident)
    size = 4 << 20
    t.backend.ok(f"send {ident} gen:{size}:1")
    cable.cut()
    t.backend.ok(f"send {ident} {spec(b'after')}")
    cable.mend()
    answer = t.client.ask(f"receive {LONG}")
    if answer == ["packet"] + [str(word) for word in summary(generated(size, 1))]:
        answer = t.client.ask(f"receive {LONG}")
    expect(answer == ["packet"] + [str(word) for word in summary(b"after")], f"got {answer}")
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    t.say_hello(ident)


@pair
def relay_killed(t):
    """After a kill -9 of the relay a client learns that its session is over; a new one connects to the next relay."""
    t.start("--identity", t.file("identity"))
    ident, key = t.client.ok(f"connect {t.relay.address} auto")
    t.say_hello(ident)
    t.relay.kill()
    t.relay.start()
    answer = t.client.ask(f"receive {LONG}")
    expect(answer[:2] == ["error", "session-over"], f"expected session-over, got {answer}")
    new_ident, new_key = t.client.ok(f"connect {t.relay.address} auto")
    expect(new_key == key and new_ident != ident, "another key, or the same id")
    t.say_hello(new_ident)


@pair
def relay_replaced(t):
    """A relay with another key is not taken for the one that was there."""
    t.start()
    ident, _ = t.client.ok(f"connect {t.relay.address} auto")
    t.say_hello(ident)
    t.client.ok(f"save {t.file('session')}")
    t.relay.kill()
    t.relay.start()
    answer = t.client.ask(f"receive {LONG}")
    expect(answer[:2] == ["error", "wrong-relay-key"], f"expected wrong-relay-key, got {answer}")
    t.client.error(f"resume {t.relay.address} {t.file('session')} manual", "wrong-relay-key")
    t.say_hello(t.connect())


@pair
def backend_killed(t):
    """After a kill -9 of the backend its clients stay, and the next one hears whom it has."""
    t.start()
    ident = t.connect()
    t.say_hello(ident)
    t.backend.kill()
    t.client.ok(f"send {spec(b'anybody there?')}")
    t.backend.ok(f"listen {HOST}:{t.relay.backend_port}")
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    # What the kernel had taken for the backend that died is lost; a relay that had not yet handed it over sends it.
    answer = t.backend.ask(f"receive {QUIET}")
    expected = ["data", ident] + [str(word) for word in summary(b"anybody there?")]
    expect(answer in (["timeout"], expected), f"got {answer}")
    t.say_hello(ident)


@pair
def stray(t):
    """What is no relay takes nothing over: the backend's connection goes on."""
    t.start()
    ident = t.connect()
    t.say_hello(ident)
    with socket.create_connection((HOST, t.relay.backend_port), 10) as http:
        http.sendall(b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n")
        # A backend may close it, or leave it be; what it must not do is to end the relay's.
        t.say_hello(ident)
        t.backend.gives("receive 1300", "timeout")
        t.say_hello(ident)


@pair
def extensions(t):
    """Away, address, volatile and multicast, as far as the relay and the libraries have them."""
    t.need_flags("--away", "--addresses")
    t.start("--away", "on", "--addresses", "on", "--half-close-timeout", "100ms")
    ident = t.connect()
    t.backend_hears_address(ident)
    t.say_hello(ident)
    t.backend.ok(f"volatile {ident} {spec(b'position')}")
    t.client.gives(f"receive {LONG}", "packet", *summary(b"position"))
    t.backend.ok(f"multicast data {ident},{ident} {spec(b'to all')}")
    for _ in range(2):
        t.client.gives(f"receive {LONG}", "packet", *summary(b"to all"))
    t.backend.ok(f"multicast volatile {ident} gen:70000:9")
    t.client.gives(f"receive {LONG}", "packet", *summary(generated(70000, 9)))
    t.client.ok(f"save {t.file('session')}")
    t.client.ok("close")
    t.backend.gives(f"receive {LONG}", "away", ident)
    t.backend.ok(f"volatile {ident} {spec(b'worth nothing now')}")
    t.backend.ok(f"multicast data {ident} {spec(b'kept')}")
    t.client.ok(f"resume {t.relay.address} {t.file('session')} manual")
    t.client.gives(f"receive {LONG}", "packet", *summary(b"kept"))
    t.backend.gives(f"receive {LONG}", "reconnection", ident)
    t.backend_hears_address(ident)
    t.client.gives(f"receive {QUIET}", "timeout")


# ---- A client and a fake relay ----

VECTORS = json.loads((Path(__file__).parent.parent / "Vectors" / "vectors.json").read_text())
CLIENT_ID = 0x0123456789ABCDEF


def vector(section, name):
    return bytes.fromhex(VECTORS[section][name])


def vector_session(t):
    """The vectors' keys as a session file."""
    path = Path(t.file("vectors"))
    path.touch(0o600)
    path.write_text(
        f"voltlane session 1\nclient-id {CLIENT_ID:016x}\nsecret-key {VECTORS['keys']['client_secret']}\n"
        f"relay-key {VECTORS['keys']['server_public_compressed']}\n"
    )
    return path


def until_id(connection):
    """The fake relay's part up to the client's id; whether the client got that far."""
    expect(read_packet(connection) == vector("packets", "version_2"), "not the version packet of the vectors")
    connection.sendall(framed(vector("packets", "server_pubkey")))
    got = read_packet(connection)
    expect(got == vector("packets", "client_id_0x0123456789abcdef"), f"not the id packet of the vectors: {got!r}")


@client
def vectors(t):
    """The handshake byte for byte, with the keys of the vectors, and in pieces of one byte."""

    def play(connection, _):
        until_id(connection)
        for byte in framed(vector("packets", "challenge")):
            connection.sendall(bytes([byte]))
        response = read_packet(connection)
        expect(response[:2] == b"\x05\x48" and len(response) == 74, f"no response of 72 bytes: {response!r}")
        plain = open_box(vector("ecdh", "session_key"), response[2:])
        expect(plain == vector("challenge", "plain"), "the response does not hold the challenge")
        expect(response[-24:] != vector("challenge", "nonce"), "the response has the challenge's nonce")
        expect(read_packet(connection) == vector("packets", "ping"), "no ping behind the response")
        # The first packet with the ping, and the rest byte by byte.
        connection.sendall(framed(vector("packets", "ping")) + vector("framed", "data_hello"))
        for byte in vector("framed", "data_empty") + vector("framed", "data_hello"):
            connection.sendall(bytes([byte]))
        expect(read_packet(connection) == b"hello", "not the packet that was sent")

    relay = t.closing(FakeRelay(play))
    ident, key = t.client.ok(f"resume {relay.address} {vector_session(t)} manual")
    expect(ident == f"{CLIENT_ID:016x}", f"the id is {ident}")
    expect(key == VECTORS["keys"]["server_public_compressed"], f"the key is {key}")
    for data in (b"hello", b"", b"hello"):
        t.client.gives(f"receive {LONG}", "packet", *summary(data))
    t.client.ok(f"send {spec(b'hello')}")
    t.client.gives(f"receive {LONG}", "closed")


@client
def new_client(t):
    """A new client's first bytes, with an id in each width; a key in the long form is accepted."""
    ids = [7, 250, 251, 65536, 1 << 32, (1 << 64) - 1]

    def play(connection, number):
        expect(read_packet(connection) == vector("packets", "version_2"), "not the version packet of the vectors")
        expect(read_packet(connection)[0] == 2, "no public key")
        ident = ids[number - 1]
        long_key = bytes.fromhex(VECTORS["keys"]["server_public_uncompressed"])
        connection.sendall(framed(b"\x02\x41" + long_key) + framed(b"\x03\xfd" + struct.pack("<Q", ident)))
        connection.recv(1)

    relay = t.closing(FakeRelay(play))
    for ident in ids:
        expected = [f"{ident:016x}", VECTORS["keys"]["server_public_compressed"]]
        got = t.client.ok(f"connect {relay.address} manual")
        expect(got == expected, f"expected {expected}, got {got}")
        t.client.ok("close")


@client
def over_twice(t):
    """That a session is over is believed the second time; a reset, or a close within a packet, says another thing."""

    def play(connection, number):
        until_id(connection)
        if number == 3:
            reset(connection)
        elif number == 4:
            connection.sendall(framed(vector("packets", "challenge"))[:9])

    relay = t.closing(FakeRelay(play))
    session = vector_session(t)
    t.client.error(f"resume {relay.address} {session} manual", "session-over")
    expect(relay.count == 2, f"{relay.count} attempts")
    t.client.error(f"resume {relay.address} {session} manual", "refused")
    t.client.error(f"resume {relay.address} {session} manual", "refused")


@client
def impostors(t):
    """What is no relay, or another one, is told from it."""

    def play(connection, number):
        if number == 1:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif number == 2:
            read_packet(connection)
        elif number == 3:
            until_id(connection)
            other = bytearray(vector("packets", "challenge"))
            other[10] ^= 1
            connection.sendall(framed(bytes(other)))
        elif number == 4:
            read_packet(connection)
            connection.sendall(framed(b"\x02\x21" + vector("keys", "client_public_compressed")))
        connection.recv(100)

    relay = t.closing(FakeRelay(play))
    session = vector_session(t)
    t.client.error(f"connect {relay.address} manual", "protocol")
    t.client.error(f"connect {relay.address} manual", "closed-during-handshake")
    t.client.error(f"resume {relay.address} {session} manual", "invalid-challenge")
    t.client.error(f"resume {relay.address} {session} manual", "wrong-relay-key")
    with socket.create_server((HOST, 0)) as nobody:
        port = nobody.getsockname()[1]
    t.client.error(f"connect {HOST}:{port} manual", "unreachable")


# ---- A backend and a fake relay ----


def dial(port):
    connection = socket.create_connection((HOST, port), 10)
    connection.settimeout(60)
    return connection


@backend
def tagged_packets(t):
    """The tagged packets of the vectors, in pieces and at once; what makes no sense is skipped."""
    (port,) = t.backend.ok(f"listen {HOST}:0")
    with dial(port) as relay:
        ident = f"{CLIENT_ID:016x}"
        unknown = framed(struct.pack("<QB", 7, 9)) + framed(struct.pack("<QB", 7, 2)) + framed(b"short")
        stream = vector("tagged", "data_hello_from_0x0123456789abcdef") + unknown
        for byte in stream + vector("tagged", "failure_7"):
            relay.sendall(bytes([byte]))
        t.backend.gives(f"receive {LONG}", "data", ident, *summary(b"hello"))
        t.backend.gives(f"receive {LONG}", "failure", "0000000000000007", "client", "disconnected")
        relay.sendall(vector("tagged", "reconnection_7") + vector("tagged", "data_empty_from_7"))
        t.backend.gives(f"receive {LONG}", "reconnection", "0000000000000007")
        t.backend.gives(f"receive {LONG}", "data", "0000000000000007", *summary(b""))
        t.backend.ok(f"send {ident} {spec(b'hello')}")
        t.backend.ok("kick 0000000000000007")
        expected = vector("tagged", "data_hello_from_0x0123456789abcdef") + vector("tagged", "kick_7")
        got = framed(read_packet(relay)) + framed(read_packet(relay))
        expect(got == expected, f"sent {got!r}")


@backend
def successor(t):
    """A new connection of the relay takes over once the old one is read to its end."""
    (port,) = t.backend.ok(f"listen {HOST}:0")
    with dial(port) as old, dial(port) as new:
        old.sendall(framed(struct.pack("<QB", 5, 0) + b"old 1"))
        t.backend.gives(f"receive {LONG}", "data", "0000000000000005", *summary(b"old 1"))
        new.sendall(framed(struct.pack("<QB", 5, 3)) + framed(struct.pack("<QB", 5, 0) + b"new"))
        old.sendall(framed(struct.pack("<QB", 5, 0) + b"old 2") + b"\x0c\0\0\0half")
        old.close()
        t.backend.gives(f"receive {LONG}", "data", "0000000000000005", *summary(b"old 2"))
        t.backend.gives(f"receive {LONG}", "reconnection", "0000000000000005")
        t.backend.gives(f"receive {LONG}", "data", "0000000000000005", *summary(b"new"))
        t.backend.ok(f"send 0000000000000005 {spec(b'to the new one')}")
        expect(read_packet(new)[9:] == b"to the new one", "not sent on the new connection")


@backend
def half_open(t):
    """An old connection that never ends gives way to one on which a relay speaks."""
    (port,) = t.backend.ok(f"listen {HOST}:0")
    with dial(port) as old, dial(port) as new:
        old.sendall(framed(struct.pack("<QB", 5, 0) + b"old"))
        t.backend.gives(f"receive {LONG}", "data", "0000000000000005", *summary(b"old"))
        new.sendall(framed(struct.pack("<QB", 5, 3)))
        t.backend.gives(f"receive {LONG}", "reconnection", "0000000000000005")


@backend
def extension_packets(t):
    """The extensions' bytes, as the vectors have them."""
    section = "firehose_extensions_framed"
    ident = "1122334455667788"
    (port,) = t.backend.ok(f"listen {HOST}:0")
    with dial(port) as relay:
        # A backend may wait for a whole packet before it takes a connection for a relay's.
        relay.sendall(vector(section, "address_v4"))
        t.backend.gives(f"receive {LONG}", "address", ident, 4, "192.0.2.7", 50000)
        t.backend.ok(f"volatile {ident} {spec(b'pos')}")
        t.backend.ok(f"multicast volatile {ident},99aabbccddeeff00 {spec(b'all')}")
        for name in ("volatile", "multicast"):
            got = framed(read_packet(relay))
            expect(got == vector(section, name), f"{name}: sent {got.hex()}")
        for name, expected in (
            ("address_v6", ["address", ident, 6, "2001:db8::7", 50000]),
            ("address_unknown", ["address", ident, 0, "-", 0]),
            ("away", ["away", ident]),
        ):
            relay.sendall(vector(section, name))
            t.backend.gives(f"receive {LONG}", *expected)
