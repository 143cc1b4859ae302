"""An echo backend that remembers why sessions ended. A process of its own: `python -m abuse.backend ADDRESS`.

It says on which port it listens, then answers each line on its input with what it has counted; the end of its input
ends it. The line `send CLIENT COUNT SIZE` makes it send that client so many packets of so many bytes, unasked.
"""

import json
import select
import socket
import struct
import sys
from collections import Counter, deque

_TAG = struct.Struct("<IQB")
DATA, FAILURE, KICK, RECONNECTION = range(4)


def echoes(buffer, seen):
    """What goes back of the whole packets in `buffer`, and where they end. The rest is counted in `seen`."""
    answer, offset, run, size = [], 0, 0, len(buffer)
    while offset + 13 <= size:
        length, _, flag = _TAG.unpack_from(buffer, offset)
        end = offset + 4 + length
        if end > size:
            break
        if flag == DATA:
            seen["packets"] += 1
        else:
            answer.append(buffer[run:offset])
            run = end
            if flag == FAILURE:
                seen[bytes(buffer[offset + 13:end]).decode()] += 1
            else:
                seen["reconnections"] += 1
        offset = end
    answer.append(buffer[run:offset])
    return b"".join(answer), offset


def unasked(line):
    """The packets that a line asks for."""
    client, count, size = map(int, line.split()[1:])
    return [_TAG.pack(9 + size, client, DATA) + bytes(size)] * count


def main(address):
    listener = socket.create_server((address, 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    relay, received, outgoing, seen = None, bytearray(), bytearray(), Counter()
    waiting = deque()
    while True:
        # A packet at a time, so that answers don't wait behind all of them.
        if relay and waiting and len(outgoing) < 1 << 16:
            outgoing += waiting.popleft()
        # What waits to go back bounds what is read.
        readers = [sys.stdin, relay or listener] if len(outgoing) < 1 << 22 else [sys.stdin]
        readable, writable, _ = select.select(readers, [relay] if outgoing else [], [])
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            if line.startswith("send"):
                waiting.extend(unasked(line))
            print(json.dumps(seen), flush=True)
        if relay is None:
            if listener in readable:
                relay, _ = listener.accept()
                relay.setblocking(False)
                relay.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            continue
        if relay in readable:
            try:
                data = relay.recv(1 << 18)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                relay.close()
                relay = None
                received.clear()
                outgoing.clear()
                waiting.clear()
                continue
            if data:
                received += data
                answer, end = echoes(received, seen)
                del received[:end]
                outgoing += answer
        if outgoing:
            try:
                del outgoing[:relay.send(outgoing)]
            except BlockingIOError:
                pass
            except OSError:
                outgoing.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
