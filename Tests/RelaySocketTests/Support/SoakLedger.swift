import Relay
import Synchronization

/// Knows every packet that the soak sent, and finds what the relay may not have done with it. Packets carry numbers,
/// each way and for each session from 0 on:
///
///     up      u32 socket of the client | u32 number | u64 0          | filler
///     down    u32 backend's connection | u32 number | u64 client id  | filler
///
/// What comes must have growing numbers; a gap must be one that the protocol allows: the end of what went into a
/// connection, of the client or the firehose, that is no more. All times are of a clock that ticks with every entry.
final class SoakLedger: Sendable {
  enum Phase: Equatable {
    /// Clients come and go, the backend is killed.
    case running
    /// The backend stays; every client comes back and gets all that it was sent.
    case settling
    /// The backend kicks everybody.
    case ending
    case over
  }

  fileprivate struct Up {
    var socket: UInt32
    var time: Int
  }

  fileprivate struct Down {
    var connection: Int
    var time: Int
    /// The connection died before the packet was handed to it whole.
    var isUnsent = false
    /// Sent when the relay had said that the session is stale, after so many returns: lost with no earlier socket.
    var staleAfter: Int?
  }

  fileprivate struct Session {
    var client: Int?
    /// The first of the backend's connections whose sweep may leave it out because it was not there yet.
    var bornIn = 0

    var up: [Up] = []
    var upNext = 0
    var upSocket: UInt32 = 0
    /// The backend's connection on which the last packet came.
    var upConnection = 0

    var down: [Down] = []
    var downNext = 0
    /// The first packet after the client's FIN on this socket: on the next, it and those behind it may come again.
    var finishedAt: Int?
    /// The same of the sockets before, until a packet has come.
    var repeatsFrom: Int?
    /// Successful returns that the client knows of, and when it knew of the last.
    var returns = 0
    var attachedAt = 0
    var isFirstOnSocket = true

    /// The last of the backend's connections on which a 0x03 named it, and whether one came after the last data.
    var announcedOn = 0
    var isAnnouncedAnew = false
    /// Data came where the sweep had left the session out: it must be over.
    var mustBeOver = false
    /// The first kick, which may have been lost with the backend's connection.
    var kickedAt: Int?
    var reason: String?
    /// The client was told that the session is over.
    var isOver = false

    /// What the relay's events say.
    var isStale = false
    var returnsSeen = 0

    /// Whether a packet that has not come may have been lost with an earlier socket: one that was sent before this one
    /// was attached, and not while the session was known to be stale just before.
    func lostWithSocket(_ packet: Down) -> Bool {
      isFirstOnSocket && packet.time < attachedAt && (packet.staleAfter.map { $0 < returns - 1 } ?? true)
    }
  }

  /// One of the backend's connections.
  fileprivate struct Connection {
    var acceptedAt: Int
    /// When the relay had noticed its end.
    var diedAt: Int?
    /// It is about to end.
    var isDying = false
    /// Something on it may be lost.
    var isLossy = false
  }

  fileprivate struct State {
    var clock = 0
    var phase = Phase.running
    var sessions: [UInt64: Session] = [:]
    var connections: [Connection] = [Connection(acceptedAt: 0)]
    var settled = 0
    var lossesNoticed = 0
    var violations: [String] = []
    var counts = Counts()
  }

  /// What the soak did, to be printed.
  struct Counts {
    var up = 0
    var upLost = 0
    var down = 0
    var downLost = 0
    var downRepeated = 0
    var sessions = 0
    var returns = 0
    var kicks = 0
    var failures = 0
    var refused = 0
    var announcements = 0
  }

  static let headerSize = 16
  private let state: Mutex<State>

  init() { state = Mutex(State()) }

  // MARK: Phases

  var phase: Phase {
    get { state.withLock { $0.phase } }
    set { state.withLock { $0.phase = newValue } }
  }

  /// A client has got all that it was to get, or has no session any more.
  func settle() { state.withLock { $0.settled += 1 } }

  var settled: Int { state.withLock { $0.settled } }

  var counts: Counts { state.withLock { $0.counts } }

  var violations: [String] { state.withLock { $0.violations } }

  func complain(_ what: String) { state.withLock { $0.complain(what) } }

  // MARK: Clients

  func born(_ id: UInt64, client: Int) {
    state.withLock {
      $0.clock += 1
      $0.counts.sessions += 1
      var session = $0.sessions[id] ?? Session()
      if session.client != nil { $0.complain("the id \(id) was given twice") }
      session.client = client
      let connection = $0.connections.count - 1
      session.bornIn = connection + ($0.connections[connection].isDying ? 1 : 0)
      session.upConnection = max(session.upConnection, connection)
      session.attachedAt = $0.clock
      $0.sessions[id] = session
    }
  }

  /// Whether the backend has got its 0x01.
  func hasFailed(_ id: UInt64) -> Bool { state.withLock { $0.sessions[id]!.reason != nil } }

  /// The relay's ping has come. `afterItsEnd`: the 0x01 had come before the attempt began; it may come at any time
  /// after that, because a session that has just returned can be kicked before its client knows.
  func returned(_ id: UInt64, afterItsEnd: Bool = false) {
    state.withLock {
      $0.clock += 1
      $0.counts.returns += 1
      $0.sessions[id]!.returns += 1
      $0.sessions[id]!.attachedAt = $0.clock
      $0.sessions[id]!.isFirstOnSocket = true
      // What was to be repeated on the last socket and did not come there may still be.
      $0.sessions[id]!.repeatsFrom = [$0.sessions[id]!.finishedAt, $0.sessions[id]!.repeatsFrom].compactMap(\.self)
        .min()
      $0.sessions[id]!.finishedAt = nil
      if afterItsEnd { $0.complain("session \(id) came back after its 0x01") }
    }
  }

  /// The next packet of a client, to be sent.
  func up(_ id: UInt64, socket: UInt32, size: Int) -> [UInt8] {
    state.withLock {
      $0.clock += 1
      $0.counts.up += 1
      let number = $0.sessions[id]!.up.count
      $0.sessions[id]!.up.append(Up(socket: socket, time: $0.clock))
      return SoakLedger.packet(socket, UInt32(number), 0, size)
    }
  }

  /// A client is about to send its FIN.
  func finishing(_ id: UInt64) {
    state.withLock { $0.sessions[id]!.finishedAt = $0.sessions[id]!.downNext }
  }

  /// A packet that a client got.
  func downArrived(_ id: UInt64, _ data: [UInt8]) {
    state.withLock { $0.downArrived(id, data) }
  }

  /// Whether all that was sent either way has come, as far as it could.
  func isSettled(_ id: UInt64) -> Bool {
    state.withLock { state in
      let session = state.sessions[id]!
      guard session.upNext == session.up.count else { return false }
      return session.down[session.downNext...].allSatisfy { $0.isUnsent || state.connections[$0.connection].isLossy }
    }
  }

  func describe(_ id: UInt64) -> String {
    state.withLock {
      let session = $0.sessions[id]!
      return "session \(id): up \(session.upNext) of \(session.up.count), down \(session.downNext) of "
        + "\(session.down.count), returns \(session.returns), kicked \(session.kickedAt != nil), "
        + "0x01 \(session.reason ?? "-")"
    }
  }

  /// The client was told that its session is over. `wasClosedInOrder`: its attached socket ended with a FIN, before it
  /// had sent one itself; then everything that was sent before the kick has come.
  func over(_ id: UInt64, wasClosedInOrder: Bool) {
    state.withLock {
      $0.sessions[id]!.isOver = true
      let session = $0.sessions[id]!
      guard wasClosedInOrder else { return }
      for number in session.downNext..<session.down.count {
        let packet = session.down[number]
        guard packet.time < session.kickedAt ?? .max else { break }
        if packet.isUnsent || $0.connections[packet.connection].isLossy { continue }
        if session.lostWithSocket(packet) { continue }
        return $0.complain("the kick of \(id) cut off packet \(number) of \(session.down.count)")
      }
    }
  }

  // MARK: The backend

  /// The relay's next connection; its number.
  func accepted() -> Int {
    state.withLock {
      $0.clock += 1
      $0.connections.append(Connection(acceptedAt: $0.clock))
      return $0.connections.count - 1
    }
  }

  func dying(_ connection: Int, isLossy: Bool) {
    state.withLock {
      $0.connections[connection].isDying = true
      $0.connections[connection].isLossy = isLossy
    }
  }

  /// The relay has noticed the loss.
  func died(_ connection: Int) {
    state.withLock {
      $0.clock += 1
      $0.connections[connection].diedAt = $0.clock
    }
  }

  /// The next packet for a client, to be sent, and its number.
  func down(_ id: UInt64, connection: Int, size: Int) -> (number: Int, bytes: [UInt8]) {
    state.withLock {
      $0.clock += 1
      $0.counts.down += 1
      let staleAfter = $0.sessions[id].flatMap { $0.isStale ? $0.returnsSeen : nil }
      let down = Down(connection: connection, time: $0.clock, staleAfter: staleAfter)
      $0.sessions[id, default: Session()].down.append(down)
      let number = $0.sessions[id]!.down.count - 1
      return (number, SoakLedger.packet(UInt32(connection), UInt32(number), id, size))
    }
  }

  /// The connection died before these were handed to it whole.
  func unsent(_ id: UInt64, _ number: Int) { state.withLock { $0.sessions[id]!.down[number].isUnsent = true } }

  func kick(_ id: UInt64) {
    state.withLock {
      $0.clock += 1
      $0.counts.kicks += 1
      if $0.sessions[id]?.kickedAt == nil { $0.sessions[id, default: Session()].kickedAt = $0.clock }
    }
  }

  /// A packet that the backend got.
  func upArrived(_ packet: Tagged, connection: Int) {
    state.withLock {
      $0.clock += 1
      switch packet.flag {
      case 0: $0.upArrived(packet, connection)
      case 1: $0.failed(packet.id, String(decoding: packet.data, as: UTF8.self), connection)
      case 3: $0.announced(packet, connection)
      default: $0.complain("a packet with flag \(packet.flag) of \(packet.id)")
      }
    }
  }

  // MARK: The relay's events

  func take(_ event: Event) {
    state.withLock {
      switch event {
      case .backendLost: $0.lossesNoticed += 1
      case .sessionStale(let id, _): $0.sessions[id, default: Session()].isStale = true
      case .sessionReturned(let id, _):
        $0.sessions[id, default: Session()].isStale = false
        $0.sessions[id, default: Session()].returnsSeen += 1
      case .eventsDropped(let count): $0.complain("\(count) events were dropped")
      default: break
      }
    }
  }

  var lossesNoticed: Int { state.withLock { $0.lossesNoticed } }

  // MARK: The end of a round

  /// How many sessions are alive, as their clients know, when all have settled.
  func countLive() -> UInt64 {
    state.withLock {
      let live = $0.sessions.filter { $0.value.client != nil && !$0.value.isOver }
      for (id, session) in live where session.mustBeOver { $0.complain("a sweep had left out \(id), which is alive") }
      return UInt64(live.count)
    }
  }

  /// Whether the backend has got every 0x01 that is due.
  var allFailed: Bool { state.withLock { $0.dueFailures.isEmpty } }

  /// Checks what only the end shows, and forgets the round's sessions.
  func close() {
    state.withLock {
      for (id, session) in $0.sessions {
        if session.client == nil { $0.complain("the relay named \(id), whom nobody is") }
      }
      for id in $0.dueFailures { $0.complain("no 0x01 of \(id)") }
      $0.sessions = [:]
      $0.settled = 0
    }
  }

  static func packet(_ first: UInt32, _ number: UInt32, _ id: UInt64, _ size: Int) -> [UInt8] {
    let head = littleEndian(UInt64(first) | UInt64(number) << 32) + littleEndian(id)
    return head + [UInt8](repeating: UInt8(truncatingIfNeeded: number &+ first), count: max(0, size - headerSize))
  }
}

extension SoakLedger.State {
  /// The sessions whose 0x01 has not come, and was not lost: that can have happened only with a connection that died
  /// after the kick.
  fileprivate var dueFailures: [UInt64] {
    sessions.filter { _, session in
      session.reason == nil
        && !(session.isOver && connections.contains { $0.isLossy && ($0.diedAt ?? .max) > session.kickedAt ?? 0 })
    }.map(\.key)
  }

  mutating func complain(_ what: String) {
    if violations.count < 20 { violations.append(what) }
  }

  /// The numbers of a packet; nil, with a complaint, where it is none of the soak's.
  private mutating func head(_ data: [UInt8]) -> (first: UInt32, number: Int, id: UInt64)? {
    let word = { (at: Int) in (0..<8).reduce(UInt64(0)) { $0 | UInt64(data[at + $1]) << UInt64(8 * $1) } }
    guard data.count >= SoakLedger.headerSize else {
      complain("a packet of \(data.count) bytes")
      return nil
    }
    let (first, number, id) = (UInt32(truncatingIfNeeded: word(0)), UInt32(word(0) >> 32), word(8))
    guard data == SoakLedger.packet(first, number, id, data.count) else {
      complain("a packet came mutilated: \(Received(bytes: data))")
      return nil
    }
    return (first, Int(number), id)
  }

  /// Whether a packet that was sent at `time` can have been lost with one of the backend's connections in `range`.
  private func diedAfter(_ time: Int, _ range: Range<Int>) -> Bool {
    range.contains { connections[$0].isLossy && time < (connections[$0].diedAt ?? .max) }
  }

  mutating func upArrived(_ packet: Tagged, _ connection: Int) {
    let id = packet.id
    guard let (socket, number, _) = head(packet.data) else { return }
    guard var session = sessions[id] else { return complain("data of \(id), whom nobody is") }
    guard number < session.up.count, session.up[number].socket == socket else {
      return complain("client \(session.client ?? -1), session \(id), never sent packet \(number) on socket \(socket)")
    }
    if let reason = session.reason { complain("packet \(number) of \(id) after its 0x01 (\(reason))") }
    guard number >= session.upNext else {
      return complain("packet \(number) of \(id) where \(session.upNext) was due: twice, or late")
    }
    for lost in session.upNext..<number {
      counts.upLost += 1
      // What its client's old socket held is lost with it, what the backend's old connection held with that.
      guard session.up[lost].socket < socket || diedAfter(session.up[lost].time, session.upConnection..<connection)
      else {
        complain("packet \(lost) of \(id) is lost before \(number), on socket \(socket), connection \(connection)")
        break
      }
    }
    if session.announcedOn != connection, session.bornIn < connection { session.mustBeOver = true }
    if socket > session.upSocket, !session.isAnnouncedAnew, !session.mustBeOver {
      complain("packet \(number) of \(id) on socket \(socket) before its 0x03")
    }
    session.isAnnouncedAnew = false
    session.upSocket = socket
    session.upNext = number + 1
    session.upConnection = connection
    sessions[id] = session
  }

  mutating func announced(_ packet: Tagged, _ connection: Int) {
    counts.announcements += 1
    let session = sessions[packet.id] ?? SoakLedger.Session()
    if let reason = session.reason { complain("0x03 of \(packet.id) after its 0x01 (\(reason))") }
    if !packet.data.isEmpty { complain("0x03 with data") }
    sessions[packet.id, default: SoakLedger.Session()].announcedOn = connection
    sessions[packet.id, default: SoakLedger.Session()].isAnnouncedAnew = true
  }

  mutating func failed(_ id: UInt64, _ reason: String, _ connection: Int) {
    guard let session = sessions[id] else { return complain("0x01 of \(id), whom nobody is: \(reason)") }
    if reason == "unknown client" {
      // Answers come behind the 0x01, unless that was lost with an earlier connection.
      if session.reason == nil, !diedAfter(session.kickedAt ?? 0, 0..<connection) {
        complain("\(id) is unknown, but its 0x01 has not come")
      }
      return
    }
    counts.failures += 1
    if let first = session.reason { complain("two 0x01 of \(id): \(first), \(reason)") }
    switch reason {
    case "kicked": if session.kickedAt == nil { complain("\(id) was never kicked") }
    case "backend refused packet": counts.refused += 1
    default: complain("\(id) ended with \(reason)")
    }
    sessions[id]!.reason = reason
  }

  mutating func downArrived(_ id: UInt64, _ data: [UInt8]) {
    guard let (first, number, owner) = head(data) else { return }
    var session = sessions[id]!
    guard owner == id else { return complain("client \(session.client!) got a packet of \(owner)") }
    guard number < session.down.count, session.down[number].connection == Int(first) else {
      return complain("nobody sent packet \(number) to \(id)")
    }
    if number < session.downNext {
      // Received, but not yet acknowledged when the socket ended after the client's FIN.
      guard session.isFirstOnSocket, let repeats = session.repeatsFrom, number >= repeats else {
        return complain("packet \(number) came to \(id) where \(session.downNext) was due: twice, or late")
      }
      counts.downRepeated += session.downNext - number
    }
    for lost in session.downNext..<max(number, session.downNext) {
      counts.downLost += 1
      let packet = session.down[lost]
      let isLostWithBackend =
        packet.isUnsent || connections[packet.connection].isLossy && Int(first) > packet.connection
      guard isLostWithBackend || session.lostWithSocket(packet) else {
        complain("packet \(lost) to \(id) is lost before \(number), on the socket after return \(session.returns)")
        break
      }
    }
    if session.isFirstOnSocket { session.repeatsFrom = nil }
    session.isFirstOnSocket = false
    session.downNext = number + 1
    sessions[id] = session
  }
}
