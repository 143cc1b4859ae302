/// One client's socket. It is trivial memory and holds no references, so the loop touches no reference count.
struct Connection: BitwiseCopyable {
  struct Flags: OptionSet {
    let rawValue: UInt16
    /// Reads go on until one finds nothing: the poll or a send said that the peer hung up, or the relay wants all that
    /// the client had sent before its session ends.
    static let hungUp = Flags(rawValue: 1)
    /// In the turn's list of connections to send to.
    static let dirty = Flags(rawValue: 2)
    /// A poll waits for room in the socket.
    static let waitsForRoom = Flags(rawValue: 4)
    /// A queued send has not completed.
    static let sending = Flags(rawValue: 8)
    /// The FIN has been sent.
    static let finSent = Flags(rawValue: 16)
    /// The client's FIN has been read.
    static let finRead = Flags(rawValue: 32)
    /// `unfinished` is what came after the client's key, size prefixes and all.
    static let stashed = Flags(rawValue: 64)
    /// The socket is gone, but a queued send has not completed: what the socket did not take has to be kept first.
    static let lost = Flags(rawValue: 128)
    /// The poll said that the connection is gone both ways.
    static let wasReset = Flags(rawValue: 256)
    /// Its attempt to come back is refused, which the client must not learn before its challenge: the connection is
    /// closed behind that.
    static let refused = Flags(rawValue: 512)
    /// The poll said that the client's FIN has come, before any reset; it may stand behind what is unread.
    static let finSeen = Flags(rawValue: 1024)
    /// In the handshake: `unfinished` begins with a whole packet, which goes first, before anything more is read.
    static let keepsPacket = Flags(rawValue: 2048)
    /// Its socket takes nothing, and its TCP did not answer when its time was up.
    static let unreachable = Flags(rawValue: 4096)
    /// The client has exceeded its rate and is not read until `pausedUntil`.
    static let overRate = Flags(rawValue: 8192)
    /// A lot is waiting for the client: it is not read until it has taken most of that.
    static let backlogged = Flags(rawValue: 16384)
    /// Its polls are not in the ring of the shard's present host yet.
    static let unpolled = Flags(rawValue: 32768)
    /// The reasons for which an attached client is not read.
    static let paused: Flags = [.overRate, .backlogged]
    /// What keeps the slot of a released connection.
    static let held: Flags = [.dirty, .sending]
  }

  var phase: Phase = .free
  var flags: Flags = []
  /// Bytes of a size prefix that came in part, and how many: 0 to 3.
  var prefixCount: UInt8 = 0
  var prefix: UInt32 = 0

  var socket: Int32 = -1
  /// Connections that this slot has held. Stays when the slot is free.
  var generation: UInt32 = 0
  var session: UInt32 = .none
  /// When it was accepted, on this shard.
  var accepted: UInt64 = 0
  /// Where it comes from, and what it counts for there.
  var address = AddressKey.none
  var standing: Standing = []

  /// The unfinished packet's data so far, without its size prefix. In the handshake, bytes as they came.
  var unfinished: PacketBuffer?
  /// The size that the unfinished packet declared.
  var declared: UInt32 = 0

  /// While attached or half-closed: what has been carried for its session.
  var traffic = Traffic(at: 0)

  /// What the socket did not take.
  var pending = PendingBytes()

  /// The packets of this turn: a list of descriptors in the downlink lane.
  var inboxFirst: UInt32 = 0
  var inboxLast: UInt32 = 0
  var inboxCount: UInt32 = 0
  var inboxBytes: UInt32 = 0

  /// When the connection's phase runs out; `.max` if it does not. While attached, in the shard's reading time.
  var deadline: UInt64 = .max
  var timer = TimerLink()

  /// It is let go: once a receive finds nothing, its session ends.
  var isLetGo = false
  /// Where the downlink lane ended when that was decided: what the firehose had by then for the client goes first.
  var letGoBehind: UInt32 = 0
  /// The list of connections to read that it is on, its neighbours there and its place.
  var list: ReadyList.Kind = .none
  var nextReady: UInt32 = .none
  var previousReady: UInt32 = .none
  var readyPlace: UInt32 = 0
  var attempt: AttemptReference?
  /// How much time is left for the handshake while the relay keeps it waiting; `.max` if it has no limit.
  var timeLeft: UInt64 = .max
  /// Its places among the holders of unfinished packets, and of what waits for clients.
  var unfinishedLinks = HolderLinks()
  var waitingLinks = HolderLinks()

  /// The queue that it is in, and its neighbours there.
  var queue: ConnectionQueue.Kind = .none
  var queueNext: UInt32 = .none
  var queuePrevious: UInt32 = .none
  /// Since when an attached client's socket has taken nothing; `.max` while it takes what it gets.
  var slowSince: UInt64 = .max
  /// If `slowSince` began with an earlier socket, what this socket takes before `slowHolds` does not reset it: at first
  /// the kernel takes whatever its buffers hold, whether or not the client reads.
  var slowHolds: UInt64 = 0
  /// Bytes that the kernel held for the socket when it was last asked.
  var kernelMemory: UInt32 = 0
  /// Bytes of memory with which the gauge was charged: for a client, and for a connection that closes.
  var charged: UInt32 = 0
  var chargedLeaving: UInt32 = 0

  /// Packets and bytes that have been read since they were last counted against the client's rates.
  var meteredPackets: UInt32 = 0
  var meteredBytes: UInt32 = 0
  var packetTokens = TokenBucket()
  var byteTokens = TokenBucket()
  /// When the client was last read, and since when it is paused, in the shard's reading time; and when it is within its
  /// rate again, `.max` where it has not exceeded it.
  var lastRead: UInt64 = 0
  var pausedSince: UInt64 = 0
  var pausedUntil: UInt64 = .max
}

/// The memory of packets that have arrived in part.
enum UnfinishedPackets: HeldMemory {
  static func links(of connection: Connection) -> HolderLinks { connection.unfinishedLinks }
  static func setLinks(_ links: HolderLinks, of connection: inout Connection) { connection.unfinishedLinks = links }
  static func held(by connection: Connection) -> Int { connection.unfinished.map { Int($0.capacity) } ?? 0 }
  static func used(by connection: Connection) -> Int { connection.unfinished.map { Int($0.count) } ?? 0 }
}

/// The memory of what waits for a client that does not take it, or for the relay to read it, the kernel's included.
enum WaitingBytes: HeldMemory {
  static func links(of connection: Connection) -> HolderLinks { connection.waitingLinks }
  static func setLinks(_ links: HolderLinks, of connection: inout Connection) { connection.waitingLinks = links }
  static func held(by connection: Connection) -> Int { Int(connection.charged) + Int(connection.chargedLeaving) }
  static func used(by connection: Connection) -> Int { connection.pending.count }
}

extension Connection {
  /// While the values of a PROXY header arrive: what is known of them. They share two words that have no other use
  /// before a client is attached.
  var proxyValues: ProxyValues {
    get { ProxyValues(words: (lastRead, pausedSince)) }
    set { (lastRead, pausedSince) = newValue.words }
  }

  mutating func forgetProxyValues() { (lastRead, pausedSince) = (0, 0) }
}

/// A shard's connections. Invariant: a slot is in the list of free ones or in use.
struct ConnectionTable: ~Copyable {
  private(set) var slots: SlotMemory<Connection>
  /// Where each comes from as the backend is told, with `--addresses on`: beside the slots, so that it costs nothing
  /// where it is off.
  let origins: SlotMemory<ClientOrigin>
  private var free: UInt32 = .none
  private(set) var used: UInt32 = 0
  private(set) var count = 0
  /// Who waits for the completions of the connections' polls and sends.
  var waiter: Token.Waiter

  init(shard: Int = 0) throws(RelayError) {
    waiter = Token.Waiter(shard: shard)
    let slots = try SlotMemory<Connection>(capacity: Limits.connectionsPerShard)
    origins = try SlotMemory(capacity: Limits.connectionsPerShard)
    self.slots = slots
  }

  subscript(index: UInt32) -> Connection {
    @inline(__always) unsafeAddress { slots.address(index) }
    @inline(__always) nonmutating unsafeMutableAddress { slots.mutableAddress(index) }
  }

  /// The slot of a connection, for a packet's way: looked up once, because the compiler cannot know that writing to a
  /// slot does not move the table.
  @inline(__always)
  func address(_ index: UInt32) -> UnsafeMutablePointer<Connection> { slots.mutableAddress(index) }

  /// A slot for `socket`, or nil where the table is full. The caller has it enter its first phase.
  mutating func add(_ socket: Int32, at now: UInt64) -> UInt32? {
    let index: UInt32
    if free != .none {
      index = free
      free = slots[index].nextReady
    } else {
      guard used < slots.capacity else { return nil }
      index = used
      used += 1
    }
    let generation = (slots[index].generation &+ 1) & Token.generationMask
    slots[index] = Connection()
    slots[index].generation = generation
    slots[index].socket = socket
    slots[index].accepted = now
    count += 1
    return index
  }

  /// Frees the slot of a released connection unless the turn's list of sends still holds it.
  mutating func freeIfReleased(_ index: UInt32) {
    if slots[index].phase == .released, slots[index].flags.isDisjoint(with: .held) { remove(index) }
  }

  private mutating func remove(_ index: UInt32) {
    assert(slots[index].phase.canBecome(.free))
    slots[index].phase = .free
    slots[index].socket = -1
    slots[index].nextReady = free
    free = index
    count -= 1
  }

  /// The connection that a completion is for, or nil where that one is gone.
  @inline(__always)
  func find(_ token: Token) -> UInt32? {
    let index = token.index
    guard index < used else { return nil }
    return slots[index].generation == token.generation && slots[index].phase.hasSocket ? index : nil
  }

  @inline(__always)
  func token(_ purpose: Token.Purpose, _ index: UInt32) -> Token {
    Token(purpose, of: waiter, index: index, generation: slots[index].generation)
  }
}

#if DEBUG
extension ConnectionTable {
  func checkInvariants() throws(InvariantViolation) {
    var (index, found) = (free, 0)
    while index != .none {
      try require(index < used, "the free connection \(index) was never used")
      try require(slots[index].phase == .free, "connection \(index) is listed as free and is not")
      found += 1
      try require(found <= Int(used), "the list of free connections has a loop")
      index = slots[index].nextReady
    }
    try require(found + count == Int(used), "\(used) slots were used; \(found) are free and \(count) are not")
    for index in 0..<used {
      try require(
        slots[index].generation <= Token.generationMask, "the generation of slot \(index) does not fit into a token")
    }
  }
}
#endif
