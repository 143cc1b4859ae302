import Glibc

/// The backend of the relay that is measured. The relay may dial it again at any time: each connection is served until
/// it ends, and what it echoes goes out on the connection that asked.
struct LoadBackend: ~Copyable {
  /// What it does with packets.
  enum Behaviour {
    /// Sends each back to its client.
    case echo
    /// Keeps whole ones for ``takePacket``.
    case collect
    /// Sends back every byte, on a connection for each client.
    case echoBytes
  }

  /// A relay has one connection, for a moment two while it redials.
  private static let relayConnections = 16

  private let listener: Int32
  private let address: Address
  private let behaviour: Behaviour
  private let congestionControl: String?
  private let capacity: Int
  private let connections: UnsafeMutablePointer<FirehoseConnection?>
  private var free: [Int]
  /// Slots of those with whole packets for ``takePacket``.
  private var collected: [Int] = []
  /// The slot of the latest connection: packets of the backend's own go there.
  private var latest: Int?
  private var output: OutputBuffer
  private let isMulticast: Bool
  private var ids: [UInt64] = []
  /// What it sent of its own, and the CPU time that it took to make and to send that.
  private(set) var sent = BackendUse()
  /// What was odd about the relay's side, for the report.
  private(set) var complaints: [String] = []

  /// `connections`: of how many clients it may have one each. `largest`: the most data of a packet of its own;
  /// `multicasts`: to how many clients each of these goes at once, 0 where to one.
  static func open(
    at address: Address, _ behaviour: Behaviour, connections: Int = 0, largest: Int = 0, multicasts: Int = 0,
    congestionControl: String?, _ epoll: borrowing Epoll
  ) throws(BenchError) -> LoadBackend {
    let listener = try Socket.listen(at: address, congestionControl: congestionControl)
    try epoll.add(listener, token: Token.backendListener, interest: .input)
    return LoadBackend(
      listener: listener, address: address, behaviour: behaviour, capacity: relayConnections + connections,
      largest: largest, multicasts: multicasts, congestionControl: congestionControl)
  }

  private init(
    listener: Int32, address: Address, behaviour: Behaviour, capacity: Int, largest: Int, multicasts: Int,
    congestionControl: String?
  ) {
    self.listener = listener
    self.address = address
    self.behaviour = behaviour
    self.congestionControl = congestionControl
    self.capacity = capacity
    connections = .allocate(capacity: capacity)
    connections.initialize(repeating: nil, count: capacity)
    free = (0..<capacity).reversed()
    isMulticast = multicasts > 0
    output = OutputBuffer(largest: largest, ids: multicasts)
  }

  deinit {
    close(listener)
    if case .unix(let path) = address.place { unlink(path) }
    for slot in 0..<capacity { connections[slot]?.free() }
    connections.deallocate()
  }

  var isConnected: Bool { free.count < capacity }

  @inline(__always)
  mutating func handle(_ token: UInt64, _ ready: Epoll.Ready, _ epoll: borrowing Epoll) throws(BenchError) {
    if token == Token.backendListener {
      try acceptAll(epoll)
    } else {
      serve(Token.index(token), ready, epoll)
    }
  }

  private mutating func acceptAll(_ epoll: borrowing Epoll) throws(BenchError) {
    while let fd = Socket.accept(listener) {
      guard let slot = free.popLast() else {
        complain("more than \(capacity) connections at once: one was refused")
        close(fd)
        continue
      }
      try Socket.tune(fd, family: address.isUnix ? AF_UNIX : AF_INET, congestionControl: congestionControl)
      connections[slot] = FirehoseConnection(fd: fd, isPlain: behaviour == .echoBytes)
      latest = slot
      output.clear()
      try epoll.add(fd, token: Token.backendConnection(slot), interest: .input)
    }
  }

  private mutating func serve(_ slot: Int, _ ready: Epoll.Ready, _ epoll: borrowing Epoll) {
    guard connections[slot] != nil else { return }
    var alive = true
    if !ready.isDisjoint(with: [.input, .closed]) {
      switch connections[slot]!.read() {
      case .fine: break
      case .ended: alive = false
      case .broken(let size):
        complain("the relay sent a tagged packet of the size \(size): its connection was closed")
        alive = false
      }
    }
    if behaviour == .collect {
      if alive, connections[slot]!.hasOutput { collected.append(slot) }
      if ready.contains(.output), slot == latest { alive = alive && output.send(connections[slot]!.fd) }
    } else if alive && connections[slot]!.hasOutput {
      alive = connections[slot]!.send()
    }
    guard alive else {
      connections[slot]!.free()
      connections[slot] = nil
      free.append(slot)
      if latest == slot { latest = nil }
      return
    }
    watch(slot, epoll)
  }

  private func watch(_ slot: Int, _ epoll: borrowing Epoll) {
    var interest: Epoll.Ready = connections[slot]!.isFull ? [] : .input
    let hasOutput = behaviour == .collect ? slot == latest && !output.isEmpty : connections[slot]!.hasOutput
    if hasOutput { interest.insert(.output) }
    if interest != connections[slot]!.interest {
      connections[slot]!.interest = interest
      epoll.modify(connections[slot]!.fd, token: Token.backendConnection(slot), interest: interest)
    }
  }

  /// Gives every packet that came in this turn to `clients`.
  @inline(__always)
  mutating func deliver(to clients: inout LoadClients, now: UInt64) {
    while let slot = collected.popLast() {
      while let packet = connections[slot]?.takePacket() {
        if !clients.arrivedAtBackend(id: packet.id, packet.bytes, count: packet.count, now: now) {
          complain("the relay sent a packet of a client with the unknown id \(packet.id)")
        }
      }
    }
  }

  /// Sends the clients what they are due.
  mutating func sendDue(to clients: inout LoadClients, now: UInt64, _ epoll: borrowing Epoll) {
    guard let slot = latest else { return }
    // What did not go out before goes when the socket is ready for it.
    guard output.isEmpty, clients.nextDue() != nil else { return watch(slot, epoll) }
    while output.isEmpty, let due = clients.nextDue() {
      let start = Clock.threadTime()
      if isMulticast { fillRounds(&clients, now) } else { fill(with: due, &clients, now) }
      guard !output.isEmpty else { continue }
      sent.bytes += UInt64(output.count)
      let isAlive = output.send(connections[slot]!.fd)
      sent.time += Int64(Clock.threadTime() - start)
      guard isAlive else { return }
    }
    watch(slot, epoll)
  }

  private mutating func fillRounds(_ clients: inout LoadClients, _ now: UInt64) {
    while !output.isFull {
      // Who is due a packet is the load's concern, not a backend's.
      let start = Clock.threadTime()
      ids.removeAll(keepingCapacity: true)
      let round = clients.takeRound(ids: &ids, now: now)
      sent.time -= Int64(Clock.threadTime() - start)
      guard let sequence = round else { return }
      output.append(sequence, for: ids, of: clients)
    }
  }

  private mutating func fill(
    with first: (index: Int, packets: Int), _ clients: inout LoadClients, _ now: UInt64
  ) {
    var (index, packets) = first
    while true {
      while packets > 0 {
        guard !output.isFull else { return }
        output.appendNext(for: index, of: &clients, now: now)
        packets -= 1
      }
      clients.removeDue()
      guard let next = clients.nextDue() else { return }
      (index, packets) = next
    }
  }

  private mutating func complain(_ text: String) {
    if complaints.count < 8 { complaints.append(text) }
  }
}
