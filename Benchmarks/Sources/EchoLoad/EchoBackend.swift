import Glibc

/// A backend that sends every data packet back to its client. The relay may dial it again at any time: each connection
/// is served until it ends, and what it answers goes out on the connection that asked.
struct EchoBackend: ~Copyable {
  /// A relay has one connection, for a moment two while it redials.
  private static let maxConnections = 16

  private let listener: Int32
  private let address: Address
  private let congestionControl: String?
  private let connections: UnsafeMutablePointer<EchoConnection?>
  /// Connections accepted so far.
  private(set) var accepted = 0
  /// What was odd about the relay's side, for the report.
  private(set) var complaints: [String] = []

  static func open(
    at address: Address, congestionControl: String?, _ epoll: borrowing Epoll
  ) throws(BenchError) -> EchoBackend {
    let listener = try Socket.listen(at: address, congestionControl: congestionControl)
    try epoll.add(listener, token: Token.backendListener, interest: .input)
    return EchoBackend(listener: listener, address: address, congestionControl: congestionControl)
  }

  private init(listener: Int32, address: Address, congestionControl: String?) {
    self.listener = listener
    self.address = address
    self.congestionControl = congestionControl
    connections = .allocate(capacity: EchoBackend.maxConnections)
    connections.initialize(repeating: nil, count: EchoBackend.maxConnections)
  }

  deinit {
    close(listener)
    if case .unix(let path) = address.place { unlink(path) }
    for slot in 0..<EchoBackend.maxConnections { connections[slot]?.free() }
    connections.deallocate()
  }

  var isConnected: Bool { (0..<EchoBackend.maxConnections).contains { connections[$0] != nil } }

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
      guard let slot = (0..<EchoBackend.maxConnections).first(where: { connections[$0] == nil }) else {
        complain("more than \(EchoBackend.maxConnections) connections at once: one was refused")
        close(fd)
        continue
      }
      try Socket.tune(fd, family: address.isUnix ? AF_UNIX : AF_INET, congestionControl: congestionControl)
      connections[slot] = EchoConnection(fd: fd)
      accepted += 1
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
    if alive && connections[slot]!.hasOutput { alive = connections[slot]!.send() }
    guard alive else {
      connections[slot]!.free()
      connections[slot] = nil
      return
    }
    var interest: Epoll.Ready = connections[slot]!.isFull ? [] : .input
    if connections[slot]!.hasOutput { interest.insert(.output) }
    if interest != connections[slot]!.interest {
      connections[slot]!.interest = interest
      epoll.modify(connections[slot]!.fd, token: Token.backendConnection(slot), interest: interest)
    }
  }

  private mutating func complain(_ text: String) {
    if complaints.count < 8 { complaints.append(text) }
  }
}
