import VoltlaneWire

/// Every size and time of the data plane that is not a flag, with its reason. Sizes are bytes, times are nanoseconds.
///
/// Figures named "measured" were taken on 2 cores over loopback with a prototype of this design.
enum Limits {
  // MARK: Reading clients

  /// One read of one client, and so the most that a flooding client can take of a turn. Measured: reads of 256 KiB cost
  /// 20-23 ns for each packet of 64 B, reads of 16 KiB 31-44 ns. Each shard has one such buffer, not each client.
  static let readSize = 256 * kibi

  /// The same when clients have rates: small, so that a client exceeds its rate only slightly, but more than
  /// `largestCopied`, for which the read of an unfinished packet leaves room.
  static let meteredReadSize = 2 * largestCopied

  /// How many clients of a shard that moves are polled at the new host in a turn, and polls cancelled at the old: about
  /// a tenth of a millisecond's work, for which the others at the host wait. 10,000 clients take 40 such turns.
  static let pollsMovedPerTurn = 256
  /// How soon a move that lacked memory is tried again.
  static let moveRetry = 100 * millisecond

  /// A shard reads this much from its clients in a turn, then lets the firehose send. Measured: sends of 128 KiB to
  /// 2 MiB cost the same, sends of 16 KiB twice as much.
  static let readsPerTurn = 512 * kibi

  /// In addition it reads and discards this much from connections that are closing.
  static let discardsPerTurn = 256 * kibi

  /// One read of a client that is still in the handshake: the largest packet and no more, because what follows the
  /// client's key must be kept until the worker has answered.
  static let handshakeRead = Wire.sizePrefix + Wire.maxHandshakePacket

  /// The buffer of an unfinished packet starts at this size and doubles as bytes arrive, so that a declared length
  /// alone costs nothing.
  static let firstUnfinishedCapacity = 256

  /// A finished packet of up to this size is copied into the lane; a larger one crosses it as a reference. Measured:
  /// references gain nothing below 16 KiB.
  static let largestCopied = 16 * kibi

  // MARK: The uplink lane

  /// Bytes of one shard's uplink lane. Measured: 1 to 4 MiB is enough; larger lanes do not stay in the cache.
  static let uplinkLane = mebi

  /// With less room than this a shard stops reading clients. It exceeds the reserve by enough that a receive still has
  /// room after an unfinished packet of `largestCopied`: (128 - 32) / 13 * 4 > 16 KiB.
  static let uplinkMinimumRoom = 128 * kibi

  /// Room that packets of clients never take, nor 0x04 and 0x07: it is for 0x01 and 0x03 of real sessions, and what
  /// goes with them.
  static let uplinkReserve = 32 * kibi

  /// Packets by reference that one uplink lane holds, and their bytes, beyond one packet of the largest size: above
  /// either, a shard stops reading clients. Several sends of 256 KiB fit, so that the firehose never waits for the next
  /// one; but no more, because the backend's answers to what is under way go to clients that may have stopped reading.
  static let uplinkReferences = 1024
  static let uplinkReferencedBytes = mebi

  /// Pieces of memory of one firehose send.
  static let uplinkVectors = 64

  // MARK: The downlink

  /// One read of the backend's socket.
  static let downlinkRead = 256 * kibi

  /// Bytes read from the backend that shards have not taken yet, beyond one packet of the largest size: above this the
  /// firehose stops reading.
  static let downlinkWindow = mebi

  /// An unfinished packet of up to this size is moved to the front of the downlink memory once everything else there
  /// has been taken, so that the memory in use stays small enough for the cache.
  static let downlinkRewind = 64 * kibi

  /// Descriptors of one shard's downlink lane. This is what bounds empty packets.
  static let downlinkLane = 16_384

  /// Packets for one client are gathered into one send; a shard gathers in this memory for all its clients in a turn.
  static let gather = 512 * kibi

  /// Consecutive small packets for the same client are moved together and cross the lane as one, up to this many bytes:
  /// enough for a send that is as cheap as it gets, and little enough that a shard's turn can still be divided.
  static let downlinkRun = 64 * kibi

  /// Pieces of memory of one send to a client.
  static let gatherVectors = 64

  /// Larger packets are sent from where they are. Measured: copying beats lists of pieces by 4 to 10 times for small
  /// packets, and costs the same at 4 KiB.
  static let largestGathered = 4 * kibi

  /// When at least this many clients of a host's shards have something to send, sends are queued in the ring and
  /// submitted together.
  /// Measured: for 1,000 clients and 64 B, a round trip costs 6.6 us with direct sends and 5.1 us with queued ones.
  static let queuedSendsFrom = 10

  /// Sockets on their way between two shards, at most: clients that come back to another shard than their session's.
  static let shardLane = 256

  /// The most bytes that may wait for one client, whatever the flags: with one more packet of the largest size, and the
  /// memory around them, they still fit the 32 bits in which they are counted.
  static let largestPending = 1 << 30

  /// What waits for a client is kept in pieces of memory of these sizes. The least is what one small packet takes from
  /// the allocator. The most is large enough for sends that are as cheap as they get; it bounds the memory that a
  /// client wastes once it has taken nearly everything, and how much is ever copied again.
  static let pendingPieceLeast = 256
  static let pendingPieceMost = 64 * kibi

  /// In a turn, one client is sent at most `pendingSend` of what waits for it, and all together `pendingPerTurn`; then
  /// it is the others' turn.
  static let pendingSend = 256 * kibi
  static let pendingPerTurn = 2 * mebi

  /// For this long after a slow client has come back, data that its new socket accepts does not prove that the client
  /// reads: the buffers of both kernels fill within a few round trips.
  static let slownessHeld = second

  // MARK: Handshakes

  /// Jobs of one shard that may wait for one worker.
  static let handshakeLane = 1024

  /// For this long, a connection that owes the answer to a challenge does not have to give way to a newcomer: several
  /// times what an answer takes, and a fraction of the time for the handshake.
  static let challengeKept = second

  /// Bytes of the object that holds a session's key: 32, and two words of Swift's. Agreeing on a key makes three.
  static let sessionKeyObject = 48

  /// Jobs that a worker takes before it answers: answers leave together, and jobs of other shards do not wait long.
  static let handshakeBatch = 32

  // MARK: Limits by address

  /// Sets of 15 places in the table of addresses, at least and at most: the table has four places for each client that
  /// may connect, because each may need two, and half of them empty leave hardly any set full. A set is 768 bytes; at
  /// most 96 MiB, which cost memory only as they are used.
  static let addressSetsLeast = 256
  static let addressSetsMost = 1 << 17

  /// If a shard refuses this many connections of one address within a second, it ignores the address for this long. In
  /// a flood of thousands a second only a few per cent are then refused one by one, and no client reaches the number by
  /// mistake. Anyone else who connects from there gets in a little later: TCP tries again after one second and three.
  static let shunnedAfter = 100
  static let shunnedFor = 2 * second
  /// The most addresses that a shard ignores at a time: they cost each new connection some hundred instructions in the
  /// kernel.
  static let shunnedMost = 128
  /// Addresses whose refusals are counted at a time. A power of two.
  static let shunnedPlaces = 256

  /// One read of the rest of a PROXY header: what a load balancer says besides the client's address, which is skipped.
  static let proxyRead = 16 * kibi

  /// How long a load balancer may take to finish its PROXY header.
  static let proxyTimeout = 3 * second

  // MARK: Memory

  /// What a connection, with its session, counts in the memory gauge: half a kilobyte of the relay's own, the kernel's
  /// memory for a socket with empty buffers and its poll, and an allowance for data that is briefly in those buffers.
  static let connectionMemory = 8 * kibi
  static let connectionMemoryInKernel = 4 * kibi
  /// What a session without a socket counts, besides the packets that it missed.
  static let staleMemory = 512

  /// What the kernel may hold of what was sent to a client: the third number of net.ipv4.tcp_wmem, as Linux has it.
  static let kernelSendBuffer = 4 * mebi
  /// Sockets whose memory is checked in one turn (0.3 us each), and how long it takes to check all of them: less time
  /// if more than half of the budget is used, and least while the shard does not read its clients, because their
  /// sockets then fill within a few hundred milliseconds.
  static let kernelMemorySlice: UInt32 = 128
  static let kernelMemoryRound = second
  static let kernelMemoryRoundNear = 250 * millisecond
  static let kernelMemoryRoundPaused = 50 * millisecond

  // MARK: Silent connections

  /// Connections that a shard looks at in one turn when it has to check whether their probes are answered: three system
  /// calls each, a fraction of a millisecond together.
  static let watchedAtOnce: UInt32 = 256

  /// Sessions and connections that end in one turn while memory is short.
  static let endsPerTurn = 1024

  // MARK: Ending

  /// How long a socket that is being closed waits for the client's FIN. The protocol's number.
  static let closeTimeout = 5 * second

  /// When the relay drains, how long it reads from clients and a backend that never stop sending. From the others it
  /// reads to the last byte.
  static let drainReading = second
  /// The same, plus the time in which a slow backend kept the relay from reading. It leaves time for what is then
  /// queued.
  static let drainReadingLongest = 3 * second

  // MARK: The firehose

  /// The delay before the next dial doubles from the first to ``RelayConfiguration/longestDialDelay``, and starts again
  /// after a connection has lived for `dialStable`. These are the protocol's numbers.
  static let dialDelayFirst = 50 * millisecond
  static let dialStable = 10 * second
  static let dialTimeout = 5 * second
  /// A look-up of the backend's name that takes this long is logged, and another is started beside it. After
  /// `lookUpTries` of them the look-up counts as failed.
  static let lookUpPatience = 3 * second
  static let lookUpTries = 3
  /// Threads that look up the backend's name: as many as can hang at a time if another look-up starts every few seconds
  /// and each gives up after ten or so, which is how long two absent name servers take.
  static let resolverThreads = 4
  /// The same failure to reach or keep the backend is logged at most this often.
  static let failureEventEvery = 60 * second

  /// How long a connection on which nothing has arrived must stand before it is given packets: at first, and at most.
  /// A proxy whose backend refuses it closes within milliseconds. One whose backend does not answer takes the 3 s in
  /// which the kernel looks for a neighbour, or three tries a second apart, or a time of its own, often 5 s.
  static let probationFirst = 100 * millisecond
  static let probationLongest = 6 * second
  /// The factor by which one connection that died young can lengthen it, so that a backend that restarts once, while
  /// something keeps its port open, is not kept waiting for long.
  static let probationGrowth: UInt64 = 5
  /// This many refused dials in a row mean that the backend itself listens there, with nothing in front of it. One is
  /// not enough: a name may have several addresses, one of which refuses while another does not.
  static let refusalsOfAListener = 3

  /// How often the relay checks whether the backend acknowledges data, and how far it is behind.
  static let backendWatch = second
  /// The age of the oldest byte that the backend has not taken is logged from this on, and each time it has doubled.
  static let backendBehindFirst = 5 * second

  // MARK: Time

  /// A thread that looks at the clock this much later than it had asked for has stood still, and leaves that time out
  /// of all deadlines. It is longer than a busy machine keeps a thread waiting, and too short for anyone to notice.
  static let standstill = 250 * millisecond
  /// A sleep with a deadline lasts no longer than this: a shorter standstill within it is not noticed. Costs a wake-up.
  static let longestSleep = second
  /// Everything that arrived in time is handled before anyone is judged late, but for this long at most. Then deadlines
  /// are judged in any case, so that nobody can postpone them by flooding the relay.
  static let catchUp = second
  /// A stale session whose client is about to be let in is checked again after this time.
  static let staleHold = 50 * millisecond

  /// Deadlines of clients are kept in a wheel of this many slots, each `tick` long (134 ms). A deadline is met to
  /// within a tick, and one beyond the wheel's 34 s is put off once a round.
  static let wheelTickShift: UInt64 = 27
  static let wheelSlots = 256

  /// Descriptors that clients cannot have, so that the relay can find and dial its backend when all others are taken:
  /// one for the connection, the rest for looking up a name.
  static let reservedDescriptors = 16

  /// First and longest pause of accepting at the descriptor limit.
  static let acceptPauseFirst = 10 * millisecond
  static let acceptPauseLast = second

  // MARK: The ring

  /// How many submissions fit between two enters, and how many completions between two reaps: one for each of many
  /// clients that become readable at once. A full completion queue costs time, but loses nothing.
  static let ringSubmissions: UInt32 = 4096
  static let ringCompletions: UInt32 = 16_384

  /// The memory of a ring: submissions of 64 bytes and, in pages of their own, completions of 16 bytes, an array of
  /// numbers of 4 bytes, and a head. Linux counts it as locked memory of the process's user, and 6.18 enforces the
  /// limit.
  static let ringMemory =
    pages(64 * Int(ringSubmissions)) + pages(64 + 16 * Int(ringCompletions) + 4 * Int(ringSubmissions))
  /// The memory of the ring that is made at the start just to see whether rings work: two pages.
  static let probeMemory = 2 * page

  /// How often, and how far apart, the start tries again to make a ring for which there is no memory: for half a
  /// second.
  static let ringTries = 10
  static let ringRetryMicroseconds: UInt32 = 50_000

  /// This many completions end a wait for more at once: they are enough to share the cost of a wake-up.
  static let coalescingBatch: UInt32 = 64
  /// After this many waits a thread judges whether waiting for more pays. Their rate is then known to within an eighth.
  static let coalescingSample: UInt64 = 64
  /// If it takes more waits than these until the next client sends, waiting is not worth it.
  static let coalescingRarest: UInt64 = 2
  /// How long waiting continues until the traffic is watched without it again, for one sample.
  static let coalescingPeriod = 100 * millisecond
  /// How long traffic that waiting has slowed down is left alone; doubled each time.
  static let coalescingRestFirst = 200 * millisecond
  static let coalescingRestLongest = 5 * second

  /// How long a thread waits before it tries again when the kernel has refused to enter its ring.
  static let ringPauseMicroseconds: UInt32 = 1000

  /// Completions that are handled in one turn.
  static let completionsPerTurn = 1024

  // MARK: epoll

  /// The same over epoll: events that one call brings. Each may be two completions.
  static let eventsPerTurn = completionsPerTurn
  /// Clients of a listener that are accepted in one turn: about a third of a millisecond's work.
  static let acceptsPerTurn = 64
  /// Descriptors that may be polled at most, whatever the process's limit: as many as there are client ids. 24 bytes of
  /// address space each, in every thread.
  static let polledDescriptors = 1 << Int(cellBits)

  // MARK: Tables

  /// A client id has 24 bits for shard and slot.
  static let cellBits: UInt64 = 24

  /// The most connections of a shard. (This is only address space: memory is used as slots are.)
  static let connectionsPerShard = 1 << 20

  /// Log events that a role can keep until the control thread takes them; further ones are dropped and counted.
  static let eventLane = 1024

  /// One turn in so many is measured. Measuring takes some fifty instructions, and a call that reads the clock.
  static let turnsPerSample = 16
  /// The size of one send to the backend in so many is noted.
  static let sendsPerSample = 16

  /// Sessions that a shard looks at, or ends, in one turn because the control thread asks: each may take a few cache
  /// misses, so that this many delay nobody by more than some tens of microseconds.
  static let querySlice = 64
  /// Requests to one shard that may be under way: as many sessions to end as fit into a turn.
  static let queryLane = querySlice
  /// Sessions that ended, and connections that were refused, that each shard remembers.
  static let endedKept = 10_000

  /// Reloads of the settings that a host may not have taken yet; one more is refused.
  static let settingsLane = 8

  /// How often, and how far apart, the start tries a port again that is in use: for half a second.
  static let listenTries = 10
  static let listenRetryMicroseconds: UInt32 = 50_000

  /// The size of a page on the machines that the relay is built for.
  static let page = 4 * kibi
  private static func pages(_ bytes: Int) -> Int { (bytes + page - 1) / page * page }

  static let kibi = 1024
  static let mebi = 1024 * 1024
  static let millisecond: UInt64 = 1_000_000
  static let second: UInt64 = 1_000_000_000

  // MARK: How many threads

  /// How often the control thread looks whether roles should move. A load that one thread cannot carry is spread after
  /// ``spreadAfter`` of these; each role that follows needs another.
  static let balanceInterval: UInt64 = 250 * millisecond
  static let spreadAfter = 2
  /// Folding waits longer: a lull of a second is no night.
  static let foldAfter = 12

  /// A thread that is busy for so much of the time has no more to give. Not all of it: what it waits for in between is
  /// too short to be of use.
  static let busyToSpread = 0.9
  /// Two threads that are busy for so much together are folded; the one that is left has more than a third to spare.
  static let busyToFold = 0.6
  /// The same where each has to wait for the other's CPU.
  static let busyToTakeTurns = 0.9
  /// A move has to make the busier of the two threads that much less busy.
  static let gainToSpread = 0.1
  /// Loads that differ by less are the same.
  static let sameLoad = 0.005
  /// CPUs that must be idle for one more thread to be worth it, and below which a machine is full.
  static let idleToSpread = 0.3
  static let idleOfFullMachine = 0.1
  /// A thread that waits for a CPU for so much of the time gains nothing by another one beside it; two that each wait
  /// so much take turns.
  static let waitedToSpread = 0.1
  static let waitedToFold = 0.2

  /// Two threads on trial that wait for each other and together are busy for no more than this bring nothing.
  static let busyToEndTrial = 1.1
  /// In measurements: how long a role stays where it was moved to spread the load, the first time, and how long a
  /// trial that failed is not repeated. Long enough to be cheap where an estimate is wrong, and at most ten minutes.
  static let restAfterSpread = 80
  static let restAfterTrial = 40
  static let restMost = 2400
  /// A thread whose CPU time, waits and sleeps leave so much of the time unexplained was busy with something that is
  /// not counted as its own; and for how many measurements (a minute) what was found holds.
  static let missingTime = 0.1
  static let missingTimePause = 240

  /// So many bytes cost a shard as much as one more packet (from the measured costs of packets of 64 bytes and 16 KiB),
  /// a handshake as much as so many packets, and the firehose so much of what all shards cost together.
  static let bytesLikeAPacket = 1024.0
  static let packetsLikeAHandshake = 200.0
  static let firehoseShare = 0.4
}
