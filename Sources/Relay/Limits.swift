/// Every size and time of the data plane that is not a flag, with its reason. Sizes are bytes, times are nanoseconds.
///
/// Figures named "measured" were taken on 2 cores over loopback with a prototype of this design.
enum Limits {
  // MARK: Reading clients

  /// One read of one client, and so the most that a client that floods can take of a turn. Measured: 256 KiB reads cost
  /// 20-23 ns a packet of 64 B, 16 KiB reads 31-44 ns. One buffer a shard, not one a client.
  static let readSize = 256 * kibi

  /// The same where clients have rates: small, so that who is over his rate is so by little; but more than
  /// `largestCopied`, for which the read of an unfinished packet leaves room.
  static let meteredReadSize = 2 * largestCopied

  /// A shard reads clients for this much in a turn, then lets the firehose send. Measured: sends of 128 KiB to 2 MiB
  /// cost the same, 16 KiB ones twice as much.
  static let readsPerTurn = 512 * kibi

  /// And for this much it discards what comes from connections that close, besides.
  static let discardsPerTurn = 256 * kibi

  /// What one read takes of a client that is still in the handshake: the largest packet, and no more, because what
  /// follows the client's key has to wait for the worker's answer and is kept meanwhile.
  static let handshakeRead = 4 + 256

  /// An unfinished packet's buffer starts here and doubles as bytes come, so that a declared length alone costs
  /// nothing.
  static let firstUnfinishedCapacity = 256

  /// A finished packet up to this size is copied into the lane, a larger one crosses it as a reference. Measured:
  /// nothing is gained by references below 16 KiB.
  static let largestCopied = 16 * kibi

  // MARK: The uplink lane

  /// Bytes of one shard's uplink lane. Measured: 1 to 4 MiB is enough, larger lanes leave the cache.
  static let uplinkLane = mebi

  /// Below this much room a shard stops reading clients. More than the reserve, and enough beyond it that a receive
  /// still has room when an unfinished packet of `largestCopied` goes first: (128 - 32) / 13 * 4 > 16 KiB.
  static let uplinkMinimumRoom = 128 * kibi

  /// Room that packets of clients never take: 0x01 and 0x03 of real sessions.
  static let uplinkReserve = 32 * kibi

  /// Packets by reference that one uplink lane holds, and their bytes, beyond one packet of the largest size: past
  /// either, a shard stops reading clients. Several 256 KiB sends fit, so that the firehose never waits for the next
  /// one; and no more than that, because what is under way for a client that stops reading meanwhile comes back to it.
  static let uplinkReferences = 1024
  static let uplinkReferencedBytes = mebi

  /// The most bytes of one lane that go into one send. The lane's memory comes back when the whole send is done.
  static let uplinkSend = 256 * kibi

  /// Pieces of memory of one firehose send.
  static let uplinkVectors = 64

  // MARK: The downlink

  /// One read of the backend's socket.
  static let downlinkRead = 256 * kibi

  /// Bytes read from the backend that shards have not taken yet, beyond one packet of the largest size: past this the
  /// firehose does not read.
  static let downlinkWindow = mebi

  /// An unfinished packet up to this size is moved to the front of the downlink memory when all else there has been
  /// taken, so that the memory in use stays small enough for the cache.
  static let downlinkRewind = 64 * kibi

  /// Descriptors of one shard's downlink lane: what bounds packets of no bytes.
  static let downlinkLane = 16_384

  /// Packets for one client are gathered into one send; this is the memory in which a shard gathers for all its clients
  /// in one turn.
  static let gather = 512 * kibi

  /// Small packets that follow one another for the same client are moved together and cross the lane as one, up to
  /// this many bytes. Where most of them are, one send is as large as it pays; and a shard's turn stays divisible.
  static let downlinkRun = 64 * kibi

  /// Pieces of memory of one send to a client.
  static let gatherVectors = 64

  /// Larger packets are sent from where they are. Measured: copying beats pieces by 4 to 10 times for small packets and
  /// is even with them at 4 KiB.
  static let largestGathered = 4 * kibi

  /// From this many clients with something to send, sends are queued in the ring and submitted together. Measured:
  /// 1,000 clients of 64 B cost 6.6 us a round trip with direct sends, 5.1 us so.
  static let queuedSendsFrom = 10

  /// Sockets on their way between two shards, at most: clients that come back to another shard than their session's.
  static let shardLane = 256

  /// Bytes that wait for one client, whatever the flags: with one packet of the largest size more, and the memory
  /// around them, they still fit the 32 bits in which they are counted.
  static let largestPending = 1 << 30

  /// What waits for a client lies in pieces of memory of these sizes. The least is what one small packet takes of the
  /// allocator; the most is large enough for sends that are as cheap as they get, and bounds what a client that has
  /// taken nearly everything still holds in vain, and what is ever copied again.
  static let pendingPieceLeast = 256
  static let pendingPieceMost = 64 * kibi

  /// One client is sent this much of what waits for it, and all together that much in a turn; then others come first.
  static let pendingSend = 256 * kibi
  static let pendingPerTurn = 2 * mebi

  /// So long after a slow client has come back, what its new socket takes does not show that the client reads: the
  /// buffers of both kernels fill in a few round trips.
  static let slownessHeld = second

  // MARK: Handshakes

  /// Jobs of one shard that wait at one worker.
  static let handshakeLane = 1024

  /// So long nobody who owes the answer to a challenge gives way to a newcomer: several times what an answer takes, and
  /// a fraction of the time to shake hands in.
  static let challengeKept = second

  /// Bytes of the object of a session's key, of which the agreement on one makes three: 32, and two words of Swift's.
  static let sessionKeyObject = 48

  /// Jobs that a worker takes before it answers: answers leave together, newcomers of other shards wait no longer.
  static let handshakeBatch = 32

  // MARK: Limits by address

  /// Sets of 15 places in the table of addresses, at least and at most: the table has four places for each client that
  /// may connect, because each may need two, and half of them empty leave hardly any set full. A set is 768 bytes; at
  /// most 96 MiB, which cost memory only as they are used.
  static let addressSetsLeast = 256
  static let addressSetsMost = 1 << 17

  /// An address of which so many connections were refused within a second, by one shard, is not heard by it for this
  /// long: in a flood of thousands a second a few in a hundred are refused by hand, and no client by mistake comes near
  /// it. Who comes from there meanwhile gets in a little later, because TCP tries again after one second and three.
  static let shunnedAfter = 100
  static let shunnedFor = 2 * second
  /// Addresses that a shard does not hear, at most: a few hundred instructions in the kernel for each new connection.
  static let shunnedMost = 128
  /// Addresses whose refusals are counted at a time. A power of two.
  static let shunnedPlaces = 256

  /// One read of what a load balancer says of a connection besides whose it is, and which is passed over.
  static let proxyRead = 16 * kibi

  /// How long a load balancer may take to say whose a connection is.
  static let proxyTimeout = 3 * second

  // MARK: Memory

  /// What a connection, with its session, counts in the memory gauge: half a kilobyte of the relay's, what the kernel
  /// has for a socket with empty buffers and its poll, and so much in those buffers as is there now and then.
  static let connectionMemory = 8 * kibi
  static let connectionMemoryInKernel = 4 * kibi
  /// What a session counts that has no socket, beside the packets that it missed.
  static let staleMemory = 512

  /// What the kernel may hold of what was sent to a client: the third number of net.ipv4.tcp_wmem, as Linux has it.
  static let kernelSendBuffer = 4 * mebi
  /// Sockets whose memory is looked at in one turn (0.3 us each), and how long it takes to look at all of them: less
  /// where more than half of what is allowed is used, and least while the shard does not read its clients, whose
  /// sockets then fill within a few hundred milliseconds.
  static let kernelMemorySlice: UInt32 = 128
  static let kernelMemoryRound = second
  static let kernelMemoryRoundNear = 250 * millisecond
  static let kernelMemoryRoundPaused = 50 * millisecond

  // MARK: Silent connections

  /// Connections that a shard looks at in one turn, where it has to look whether their probes are answered: three
  /// system calls each, a fraction of a millisecond together.
  static let watchedAtOnce: UInt32 = 256

  /// Sessions and connections that end in one turn while memory is short.
  static let endsPerTurn = 1024

  // MARK: Ending

  /// How long a socket that is being closed waits for the client's FIN. The protocol's number.
  static let closeTimeout = 5 * second

  /// At the relay's end, how long clients and a backend are read that never stop sending; others are read to the last
  /// byte.
  static let drainReading = second
  /// The same with the time in which a slow backend kept the relay from reading; leaves time for what is then queued.
  static let drainReadingLongest = 3 * second

  // MARK: The firehose

  /// The delay before the next dial doubles from the first to ``RelayConfiguration/longestDialDelay``; it starts anew
  /// after a connection has lived for `dialStable`. The protocol's numbers.
  static let dialDelayFirst = 50 * millisecond
  static let dialStable = 10 * second
  static let dialTimeout = 5 * second
  /// A look-up of the backend's name that takes this long is told of and asked for again beside it; after so many it
  /// counts as one that failed.
  static let lookUpPatience = 3 * second
  static let lookUpTries = 3
  /// Threads that look the backend's name up: as many as hang at a time where each is asked for again every few seconds
  /// and gives up after ten or so, which is what two name servers that are away take.
  static let resolverThreads = 4
  /// The same failure to reach the backend, or to keep it, is logged this often.
  static let failureEventEvery = 60 * second

  /// How long a connection has to stand before packets are handed over to it, where nothing has come on it: at first,
  /// and at most. A proxy whose backend refuses it closes within milliseconds; one whose backend does not answer takes
  /// the 3 s in which the kernel looks for a neighbour, or three tries a second apart, or a time of its own, often 5 s.
  static let probationFirst = 100 * millisecond
  static let probationLongest = 6 * second
  /// By how much one connection that died young makes it longer at most, so that a backend which starts anew once,
  /// while something keeps its port open, is not kept waiting for long.
  static let probationGrowth: UInt64 = 5
  /// So many dials refused one after the other mean that the backend itself listens there, and nothing in front of it.
  /// More than one: a name may have several addresses, of which one is refused and another is not.
  static let refusalsOfAListener = 3

  /// How often the backend's connection is looked at: whether it acknowledges, and how far it is behind.
  static let backendWatch = second
  /// From this age on of the oldest byte that the backend has not taken it is logged, and at each doubling.
  static let backendBehindFirst = 5 * second

  // MARK: Time

  /// A thread that looks at the clock this much later than it had asked for has stood still, and leaves that time out
  /// of all deadlines. More than a busy machine keeps a thread waiting, less than anybody's patience.
  static let standstill = 250 * millisecond
  /// A sleep with a deadline lasts no longer than this: a shorter standstill within it is not noticed. Costs a wake-up.
  static let longestSleep = second
  /// What came in time is looked at before somebody is late, though it takes this long; then deadlines are judged all
  /// the same, so that nobody who floods the relay can keep others from theirs.
  static let catchUp = second
  /// A stale session whose client is about to be let in is looked at again after this.
  static let staleHold = 50 * millisecond

  /// Deadlines of clients are kept in a wheel of this many slots, each `tick` long (134 ms): a deadline is met within a
  /// tick, and those beyond the wheel's 34 s are put off once a round.
  static let wheelTickShift: UInt64 = 27
  static let wheelSlots = 256

  /// Descriptors that no client gets: what the relay needs to find and dial its backend while all others are taken. One
  /// for the connection, the rest for the look-up of a name.
  static let reservedDescriptors = 16

  /// First and longest pause of accepting at the descriptor limit.
  static let acceptPauseFirst = 10 * millisecond
  static let acceptPauseLast = second

  // MARK: The ring

  /// Submissions that fit between two enters, and completions between two reaps: one for each of many clients that
  /// become readable at once. A completion queue that is full costs, but loses nothing.
  static let ringSubmissions: UInt32 = 4096
  static let ringCompletions: UInt32 = 16_384

  /// What a ring takes: submissions of 64 bytes, and in pages of their own the completions of 16 bytes, an array of
  /// numbers of 4, and a head. Linux counts it as locked memory of the process's user, and 6.18 refuses what is above
  /// the limit.
  static let ringMemory =
    pages(64 * Int(ringSubmissions)) + pages(64 + 16 * Int(ringCompletions) + 4 * Int(ringSubmissions))
  /// What the ring takes that is made and used at the start to see whether that works: two pages.
  static let probeMemory = 2 * page

  /// How often, and at what distance, a ring for which there is no memory is tried again at the start: for half a
  /// second.
  static let ringTries = 10
  static let ringRetryMicroseconds: UInt32 = 50_000

  /// As many completions end a wait for more at once: a batch is large enough to divide a wake-up among its packets.
  static let coalescingBatch: UInt32 = 64
  /// Waits after which it is looked at whether waiting for more pays. The rate of so many comes out within an eighth.
  static let coalescingSample: UInt64 = 64
  /// Where it takes more waits than these until the next client sends, waiting is not worth it.
  static let coalescingRarest: UInt64 = 2
  /// How long waiting goes on until the traffic is watched without it again, for one sample.
  static let coalescingPeriod = 100 * millisecond
  /// How long traffic is left alone that waiting has slowed down; doubled each time.
  static let coalescingRestFirst = 200 * millisecond
  static let coalescingRestLongest = 5 * second

  /// How long a thread waits whose ring the kernel has refused to enter before it tries again.
  static let ringPauseMicroseconds: UInt32 = 1000

  /// Completions that are handled in one turn.
  static let completionsPerTurn = 1024

  // MARK: Tables

  /// A client id has 24 bits for shard and slot.
  static let cellBits: UInt64 = 24

  /// Connections of a shard, at most (address space only: memory is used as slots are).
  static let connectionsPerShard = 1 << 20

  /// Events for the log that a role keeps until the control thread takes them; more are dropped and counted.
  static let eventLane = 1024

  /// Reloads of the settings that a host has not taken yet; one more is refused.
  static let settingsLane = 8

  /// How often, and at what distance, a port that is in use is tried again at the start: for half a second.
  static let listenTries = 10
  static let listenRetryMicroseconds: UInt32 = 50_000

  /// As large as pages are on the machines for which the relay is built.
  static let page = 4 * kibi
  private static func pages(_ bytes: Int) -> Int { (bytes + page - 1) / page * page }

  static let kibi = 1024
  static let mebi = 1024 * 1024
  static let millisecond: UInt64 = 1_000_000
  static let second: UInt64 = 1_000_000_000
}
