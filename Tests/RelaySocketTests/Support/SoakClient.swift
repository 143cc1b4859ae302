import Glibc
import Relay
import VoltlaneWire

/// A client of the soak, on a thread of its own: it sends, and leaves in every way there is, and comes back.
final class SoakClient {
  private let number: Int
  private let endpoint: Endpoint
  private let ledger: SoakLedger
  private let leaves: Bool
  private var random: Random

  private var id: UInt64?
  private var socket: RawSocket?
  /// Sockets that the session has had.
  private var socketCount: UInt32 = 0
  private var received = PacketStream()
  private var unsent: [UInt8] = []
  private var hasFinished = false
  /// The last attached socket ended with the relay's FIN, before the client had sent one.
  private var wasClosedInOrder = false

  /// One that `leaves`, or one that stays and only sends.
  init(_ number: Int, endpoint: Endpoint, ledger: SoakLedger, leaves: Bool, seed: UInt64) {
    self.number = number
    self.endpoint = endpoint
    self.ledger = ledger
    self.leaves = leaves
    random = Random(seed &+ UInt64(number) << 32)
  }

  func run() throws {
    while ledger.phase == .running {
      if socket == nil { try arrive() }
      guard socket != nil else { continue }
      try step()
      try pump(milliseconds: random.below(250))
    }
    try settle()
  }

  private func step() throws {
    switch random.below(leaves ? 100 : 75) {
    case 0..<55: try sendBurst()
    case 55..<75: break
    case 75..<81: leave(byReset: true)
    case 81..<84: try leaveWithinPacket()
    case 84..<88: try finish(reading: 0)
    case 88..<92: try finish(reading: random.below(200))
    case 92..<95: try takeOver()
    default: try abandonAttempts()
    }
  }

  // MARK: Sending and receiving

  private func sendBurst() throws {
    for _ in 0..<(1 + random.below(8)) {
      let size =
        switch random.below(100) {
        case 0..<80: SoakLedger.headerSize + random.below(200)
        case 80..<98: SoakLedger.headerSize + random.below(4000)
        default: SoakLedger.headerSize + random.below(60_000)
        }
      unsent += framed(ledger.up(id!, socket: socketCount - 1, size: size))
    }
    try flush()
  }

  private func flush() throws {
    guard let socket, !unsent.isEmpty else { return }
    do {
      let count = try socket.sendSome(unsent[...])
      unsent.removeFirst(count)
    } catch SocketFailure.system {
      // The relay's end, which reading tells.
      unsent = []
    }
  }

  /// Takes what comes, for a while.
  private func pump(milliseconds: Int) throws {
    var left = milliseconds
    while let socket {
      _ = SocketCalls.wait(
        socket.descriptor, unsent.isEmpty ? POLLIN : POLLIN | POLLOUT, milliseconds: Int32(max(0, min(left, 10))))
      for packet in received.take(try socket.takeArrived()) { ledger.downArrived(id!, packet) }
      if let end = socket.end {
        wasClosedInOrder = end == .fin && !hasFinished
        leave(byReset: false)
        return
      }
      try flush()
      guard left > 0 else { return }
      left -= 10
    }
  }

  // MARK: Leaving

  private func leave(byReset: Bool) {
    if byReset { socket?.reset() } else { socket?.close() }
    socket = nil
  }

  /// A reset in the middle of a packet, which must not arrive.
  private func leaveWithinPacket() throws {
    try sendBurst()
    if unsent.isEmpty {
      _ = try? socket?.sendSome(framed([UInt8](repeating: 0xee, count: 3000))[..<(1 + random.below(2900))])
    }
    leave(byReset: true)
  }

  /// A FIN: at once a full close, or a half-close behind which the client still reads.
  private func finish(reading milliseconds: Int) throws {
    try sendBurst()
    guard unsent.isEmpty else { return }
    ledger.finishing(id!)
    hasFinished = true
    socket!.finish()
    try pump(milliseconds: milliseconds)
    leave(byReset: random.below(2) == 0)
  }

  /// Comes back while the old connection still looks alive.
  private func takeOver() throws {
    let old = socket
    socket = nil
    try sendOn(old)
    try arrive()
    old?.close()
  }

  /// What was begun goes on for a moment, so that the old socket is busy.
  private func sendOn(_ old: RawSocket?) throws {
    guard let old, !unsent.isEmpty else { return }
    _ = try? old.sendSome(unsent[...])
  }

  /// Attempts that come to nothing.
  private func abandonAttempts() throws {
    for _ in 0..<(1 + random.below(3)) {
      guard let attempt = try begin() else { continue }
      if random.below(2) == 0 { try? attempt.socket.send(attempt.response(seed: random.below(1 << 30))) }
      if random.below(2) == 0 { attempt.socket.reset() } else { attempt.socket.close() }
    }
  }

  // MARK: Coming

  /// A new session, or the old one on a new connection. Leaves `socket` nil where the session turns out to be over.
  private func arrive() throws {
    guard let id else { return try beginSession() }
    for _ in 0..<1000 {
      switch try comeBack(id) {
      case .back: return
      case .over:
        ledger.over(id, wasClosedInOrder: wasClosedInOrder)
        self.id = nil
        return
      case .again: usleep(1000)
      }
    }
    ledger.complain("client \(number) does not get in; \(ledger.describe(id))")
  }

  private func beginSession() throws {
    let client = try RawClient(RawSocket(to: endpoint))
    ledger.born(client.id, client: number)
    id = client.id
    socketCount = 0
    attach(client.socket)
  }

  private func attach(_ socket: RawSocket) {
    self.socket = socket
    socketCount += 1
    received = PacketStream()
    unsent = []
    hasFinished = false
    wasClosedInOrder = false
  }

  private enum Outcome { case back, over, again }

  private func comeBack(_ id: UInt64) throws -> Outcome {
    let hadFailed = ledger.hasFailed(id)
    let socket = try RawSocket(to: endpoint)
    do {
      let client = try Comeback(socket, id).finish()
      ledger.returned(id, afterItsEnd: hadFailed)
      attach(client.socket)
      return .back
    } catch SocketFailure.ended(.fin, received: []) {
      return .over
    } catch SocketFailure.ended, SocketFailure.system {
      return .again
    }
  }

  /// An attempt on the own session; nil where the relay refuses it.
  private func begin() throws -> Comeback? {
    do { return try Comeback(RawSocket(to: endpoint), id!) } catch SocketFailure.ended { return nil }
  }

  // MARK: The end

  /// Comes back, gets all that is there, and waits to be kicked.
  private func settle() throws {
    var waits = 0
    var hasSettled = false
    var sentOn: RawSocket?
    while true {
      if socket == nil, id == nil { break }
      if socket == nil { try arrive() }
      guard let id, socket != nil else { continue }
      // The last one on each socket: when it has come, nothing before it can still come.
      if socket !== sentOn { unsent += framed(ledger.up(id, socket: socketCount - 1, size: 100)) }
      sentOn = socket
      try pump(milliseconds: 10)
      if self.id != nil, !hasSettled, ledger.isSettled(id) {
        hasSettled = true
        ledger.settle()
      }
      waits += 1
      if waits > Int(patience) / 10 * 3 {
        ledger.complain("client \(number) does not come to rest in phase \(ledger.phase): \(ledger.describe(id))")
        break
      }
    }
    if !hasSettled { ledger.settle() }
  }
}

/// Cuts packets out of a stream.
struct PacketStream {
  private var rest: [UInt8] = []

  mutating func take(_ bytes: [UInt8]) -> [[UInt8]] {
    rest += bytes
    var packets: [[UInt8]] = []
    var next = 0
    while rest.count - next >= 4 {
      let size = (0..<4).reduce(0) { $0 | Int(rest[next + $1]) << (8 * $1) }
      guard rest.count - next >= 4 + size else { break }
      packets.append(Array(rest[next + 4..<next + 4 + size]))
      next += 4 + size
    }
    rest.removeFirst(next)
    return packets
  }
}
