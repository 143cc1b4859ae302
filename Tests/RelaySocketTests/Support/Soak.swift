import Glibc
import Relay
import Testing

/// A soak over real sockets. How it works:
///
/// - Each of 40 ``SoakClient``s has a thread, on which it does what chance says: it sends, leaves by a reset, a close
///   or a FIN, in the middle of a packet or not, comes back, takes its own session over, begins attempts and abandons
///   them.
/// - ``SoakBackend`` has a thread too: it sends to the sessions that it knows, kicks some, and dies: by a reset, by a
///   close, or with an orderly FIN; within a packet or not. The relay dials again, and the next life begins.
/// - All of them enter into a ``SoakLedger`` what they send, before they send it, and what they receive. It knows what
///   may be lost, and finds what was lost beyond that, doubled, mixed up or misdelivered.
/// - When the backend has died often enough it stays. Every client comes back, and gets all that is due; then the
///   backend kicks everybody, and hears the end of every session, once.
/// - What the relay has counted adds up: sessions that began are those that ended, by reason.
/// - This is played twice. What the process holds after the second time must be what it held after the first.
///
/// A run depends on the seed, which is printed, and on the scheduler. `VOLTLANE_SOAK_SEED` gives the seed;
/// `VOLTLANE_SOAK_LOG` names a file that is told what happened.
struct Soak {
  enum Clients {
    /// They leave and come back, and are kicked.
    case leaving
    /// They only send: what is tested is the backend's coming and going.
    case staying
  }

  static let clientCount = 40
  let layout: Layout
  let clients: Clients
  let seed: UInt64
  let kills: Int

  init(_ layout: Layout, clients: Clients, seed: UInt64, kills: Int) {
    self.layout = layout
    self.clients = clients
    self.seed = seed
    self.kills = kills
  }

  /// A seed for a run, which is printed here: where a run crashes, nothing else says it.
  static func seed() -> UInt64 {
    let seed = environment("VOLTLANE_SOAK_SEED").flatMap(UInt64.init) ?? UInt64.random(in: 0...999_999_999)
    print("soak: seed \(seed)")
    return seed
  }

  private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  private func say(_ line: String) {
    guard let path = Soak.environment("VOLTLANE_SOAK_LOG"), let file = fopen(path, "a") else { return }
    fputs("\(layout), \(clients), seed \(seed): \(line)\n", file)
    fclose(file)
  }

  /// What must be as it was.
  private struct Usage: CustomStringConvertible {
    let resident: Int
    let allocated: Int
    let descriptors: Int

    init() {
      SocketCalls.trimMemory()
      resident = SocketCalls.residentBytes
      allocated = SocketCalls.allocatedBytes
      descriptors = SocketCalls.descriptors.count
    }

    var description: String {
      "\(resident >> 10) KiB resident, \(allocated >> 10) KiB allocated, \(descriptors) descriptors"
    }
  }

  func run() throws {
    say("\(kills) kills")
    let backend = try RawBackend()
    let test = try TestRelay(layout, backend: backend.endpoint) {
      $0.staleTimeout = .seconds(300)
      $0.announce = true
      $0.halfCloseTimeout = .seconds(1)
      $0.longestDialDelay = .milliseconds(50)
      // What is tested is not these limits.
      $0.clientSendBuffer = 64 << 20
      $0.missedPacketsBuffer = 64 << 20
      $0.eventLevel = .debug
    }
    let relay = test.relay
    var socket = try backend.accept().socket
    // Until it counts as the backend nothing is sent on it: if it died sooner, the next connection would be the relay's
    // first, and would begin without a sweep.
    try #require(test.eventually(.backendConnections, is: 1))
    // The first round warms up what stays: buffers, and the allocator's.
    var before: Usage?
    for (round, kills) in [max(1, kills / 4), max(1, kills - kills / 4)].enumerated() {
      let ledger = SoakLedger()
      socket = try play(round, kills: kills, ledger, backend, test, socket)
      say("round \(round): \(ledger.counts)")
      try #require(ledger.violations.isEmpty, "seed \(seed): \(ledger.violations)")
      // Sockets that are being closed last a few seconds at most; then nobody is left.
      try #require(test.eventually { relay[.sessionsStarted] == relay[.sessionsEnded] })
      let observer = try #require(relay.observer)
      try #require(test.eventually { observer.clients == 0 && observer.handshakes == 0 })
      SumsTests.check(observer, live: 0)
      try #require(test.eventually { SocketCalls.descriptors.count <= before?.descriptors ?? .max })
      guard let before else {
        sleep(1)
        before = Usage()
        say("before: \(before!)")
        continue
      }
      let after = Usage()
      say("after: \(after)")
      try #require(after.allocated - before.allocated < 256 << 10)
      // More than the allocator's: what was first touched now of buffers of fixed size.
      try #require(after.resident - before.resident < 24 << 20)
    }
    socket.close()
  }

  /// One round; returns the backend's connection.
  private func play(
    _ round: Int, kills: Int, _ ledger: SoakLedger, _ backend: RawBackend, _ test: TestRelay, _ first: RawSocket
  ) throws -> RawSocket {
    let relay = test.relay
    let failedBefore = relay[.backendDialsFailed]
    let connection = Box(Holder(first))
    let player = Box(
      SoakBackend(
        backend, ledger, kicks: clients == .leaving, seed: seed &+ UInt64(round), kills: kills, first: first,
        dialsFailed: { Int(relay[.backendDialsFailed] - failedBefore) }))
    let backendThread = Background { connection.value.socket = try player.value.run() }
    let events = Background {
      while ledger.phase != .over {
        relay.takeEvents { ledger.take($0) }
        usleep(500)
      }
    }
    let endpoint = test.endpoint
    let threads = (0..<Soak.clientCount).map { number in
      Background {
        try SoakClient(
          number, endpoint: endpoint, ledger: ledger, leaves: clients == .leaving, seed: seed &+ UInt64(round) << 48
        ).run()
      }
    }
    while ledger.phase == .running {
      if backendThread.isDone { try backendThread.join() }
      for client in threads where client.isDone { try client.join() }
      usleep(1000)
    }
    // Everybody has all that is due.
    _ = test.eventually { ledger.settled >= Soak.clientCount }
    let live = ledger.countLive()
    if !test.eventually({ relay[.sessionsStarted] - relay[.sessionsEnded] == live }) {
      ledger.complain("\(relay[.sessionsStarted] - relay[.sessionsEnded]) sessions where \(live) are alive")
    }
    ledger.phase = .ending
    for client in threads { try client.join() }
    if !test.eventually({ ledger.allFailed }) { ledger.complain("not every session's 0x01 has come") }
    ledger.phase = .over
    try backendThread.join()
    try events.join()
    ledger.close()
    return connection.value.socket
  }

  private final class Holder {
    var socket: RawSocket
    init(_ socket: RawSocket) { self.socket = socket }
  }
}
