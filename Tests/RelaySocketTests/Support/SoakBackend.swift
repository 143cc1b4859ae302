import Glibc
import Relay

/// The backend of the soak, on a thread of its own: it sends to sessions that it knows, kicks some, and dies again and
/// again.
final class SoakBackend {
  private let backend: RawBackend
  private let ledger: SoakLedger
  /// How many the relay has counted since the round began.
  private let dialsFailed: () -> Int
  private let kicks: Bool
  private var random: Random
  private var killsLeft: Int

  private var connection = 0
  private var socket: RawSocket
  private var received = TaggedStream()
  /// Those that this connection has named and not ended, in an order that chance can choose from.
  private var alive: [UInt64] = []
  private var places: [UInt64: Int] = [:]
  private var kicked: Set<UInt64> = []
  private var unsent: [UInt8] = []
  /// The data packets in `unsent`: where each ends.
  private var queued: [(id: UInt64, number: Int, end: Int)] = []
  private var lossesCaused = 0

  private enum Death: CaseIterable {
    case reset
    /// With or without a FIN, as the kernel has it: input is left unread.
    case close
    /// A FIN, then everything is read until the relay's. Nothing is lost.
    case orderly
  }

  init(
    _ backend: RawBackend, _ ledger: SoakLedger, kicks: Bool, seed: UInt64, kills: Int, first: RawSocket,
    dialsFailed: @escaping () -> Int
  ) {
    self.backend = backend
    self.ledger = ledger
    self.kicks = kicks
    random = Random(seed)
    killsLeft = kills
    self.dialsFailed = dialsFailed
    socket = first
    connection = ledger.accepted()
  }

  /// Plays until the ledger's phase is over, and gives the connection back.
  func run() throws -> RawSocket {
    while true {
      let life = random.below(5) == 0 ? 0 : random.below(1500)
      if try !serve(packets: killsLeft > 0 ? life : .max) { return socket }
      try die(Death.allCases[random.below(Death.allCases.count)])
      killsLeft -= 1
      if killsLeft == 0 { ledger.phase = .settling }
      socket = try backend.accept().socket
      connection = ledger.accepted()
    }
  }

  /// Serves so many packets; false where the round is over.
  private func serve(packets life: Int) throws -> Bool {
    var left = life
    var hasKicked = false
    while left > 0 {
      _ = SocketCalls.wait(
        socket.descriptor, unsent.isEmpty ? POLLIN : POLLIN | POLLOUT, milliseconds: 10)
      for packet in try received.take(try socket.takeArrived()) {
        take(packet)
        left -= 1
        switch ledger.phase {
        case .running: answer()
        case .settling: if packet.flag == 0, !kicked.contains(packet.id) { sendData(packet.id, 50) }
        case .ending, .over: break
        }
      }
      flush()
      switch ledger.phase {
      case .running, .settling: break
      case .ending:
        if !hasKicked { for id in Array(alive) { kick(id) } }
        hasKicked = true
      case .over: return false
      }
      if let end = socket.end { ledger.complain("the relay left connection \(connection): \(end)") }
    }
    return true
  }

  private func take(_ packet: Tagged) {
    ledger.upArrived(packet, connection: connection)
    switch packet.flag {
    case 1: forget(packet.id)
    default:
      guard places[packet.id] == nil, !kicked.contains(packet.id) else { return }
      places[packet.id] = alive.count
      alive.append(packet.id)
    }
  }

  private func forget(_ id: UInt64) {
    guard let place = places.removeValue(forKey: id) else { return }
    let last = alive.removeLast()
    guard last != id else { return }
    alive[place] = last
    places[last] = place
  }

  // MARK: Sending

  private func answer() {
    guard !alive.isEmpty else { return }
    let id = alive[random.below(alive.count)]
    switch random.below(1000) {
    case 0..<5 where kicks:
      kick(id)
      // More for it, which is answered: after its 0x01.
      if random.below(2) == 0 { send(.data(id, [])) }
    case 5..<600:
      let size = random.below(50) == 0 ? random.below(60_000) : random.below(500)
      sendData(id, SoakLedger.headerSize + size)
    default: break
    }
  }

  private func kick(_ id: UInt64) {
    ledger.kick(id)
    send(.kick(id))
    kicked.insert(id)
    forget(id)
  }

  private func sendData(_ id: UInt64, _ size: Int) {
    let (number, bytes) = ledger.down(id, connection: connection, size: size)
    send(.data(id, bytes))
    queued.append((id, number, unsent.count))
  }

  private func send(_ packet: Tagged) { unsent += packet.bytes }

  private func flush() {
    guard !unsent.isEmpty, let count = try? socket.sendSome(unsent[...]) else { return }
    unsent.removeFirst(count)
    for index in queued.indices { queued[index].end -= count }
    queued.removeAll { $0.end <= 0 }
  }

  // MARK: Dying

  private func die(_ death: Death) throws {
    ledger.dying(connection, isLossy: death != .orderly)
    lossesCaused += 1
    // In the middle of a packet, as far as the kernel takes it.
    if let id = alive.first, random.below(2) == 0 {
      if unsent.isEmpty { sendData(id, 5000) }
      if let count = try? socket.sendSome(unsent[..<(1 + random.below(unsent.count))]) {
        unsent.removeFirst(count)
        for index in queued.indices { queued[index].end -= count }
      }
    }
    for packet in queued where packet.end > 0 { ledger.unsent(packet.id, packet.number) }
    switch death {
    case .reset: socket.reset()
    case .close: socket.close()
    case .orderly:
      socket.finish()
      while socket.end == nil {
        _ = SocketCalls.wait(socket.descriptor, POLLIN, milliseconds: 10)
        for packet in try received.take(try socket.takeArrived()) { ledger.upArrived(packet, connection: connection) }
      }
      if socket.end != .fin { ledger.complain("connection \(connection) had sent its FIN, and was \(socket.end!)") }
      socket.close()
    }
    // Until the relay has noticed. A connection that was reset before the relay took it for connected is a failed dial.
    var waits = 0
    while ledger.lossesNoticed + dialsFailed() < lossesCaused, waits < patience {
      usleep(1000)
      waits += 1
    }
    if waits == patience { ledger.complain("the relay did not notice the end of connection \(connection): \(death)") }
    ledger.died(connection)
    unsent = []
    queued = []
    received = TaggedStream()
    alive = []
    kicked = []
    places = [:]
  }
}
