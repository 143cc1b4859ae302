"""Sizes and times that are not options, each with its reason. Bytes and seconds."""

from __future__ import annotations

#: The largest packet, unless the relay's ``--max-packet-size`` says otherwise: with its tag exactly 8 MiB.
DEFAULT_MAX_PACKET_SIZE = 8_388_599

#: What a relay's ``--max-packet-size`` can be at most: 1 GiB.
LARGEST_MAX_PACKET_SIZE = 1 << 30

#: ``u32 size`` in front of each packet.
SIZE_PREFIX = 4

#: ``u64 client id, u8 flag`` in front of a packet on the firehose.
TAG = 9

#: The data of a handshake packet.
MAX_HANDSHAKE_PACKET = 256

#: Ids that one multicast may name.
MAX_MULTICAST_IDS = 65_536

#: What a waiting packet counts beside its data: about what Python's objects for it take, so that a crowd of empty
#: packets is bounded as well.
PACKET_OVERHEAD = 128

#: What asyncio reads at a time: a shorter read has taken everything that the kernel had.
LARGEST_READ = 256 << 10

#: Small packets are written together up to this size. Above it larger writes gain nothing.
WRITE_SIZE = 64 << 10

#: A client's packet above this size is written by itself, so that it can be sent again when the connection breaks
#: within it.
LONE_PACKET = 4 << 10

#: How long a connection must have lived before delays between attempts start small again.
SETTLED = 10.0

#: State changes that wait for a slow observer; over this the oldest go, as only the newest matters.
STATES = 64

#: Takeovers in a row after which two processes are taken to share one session. One may be a proxy that was restarted.
TAKEOVERS = 3

#: The first and the last delay while two processes share a session.
SHARED_FIRST_DELAY = 5.0
SHARED_LAST_DELAY = 300.0

#: Events of a backend that wait to be taken, and packets of it that wait to be sent: enough for a lively relay, and one
#: packet of the largest size fits besides.
BACKEND_QUEUE = 4 << 20

#: How long an old firehose may bring nothing once a newer one has shown a packet. What the kernel holds of it comes in
#: milliseconds; a half-open one would never end by itself.
FINISHING = 1.0

#: After this long a connection that says nothing is taken for the relay's, where there is no other: only a relay that
#: names its sessions (``--announce on``) speaks first.
SILENT = 1.0

#: Connections that wait for their turn. A relay dials one at a time; over this the oldest is dropped.
WAITING_CONNECTIONS = 16

#: Ended sessions that are remembered in order to tell of each end once.
ENDED_CLIENTS = 65_536

#: The silence after which the kernel probes whether the relay of a firehose is still there.
BACKEND_KEEPALIVE = 30.0
