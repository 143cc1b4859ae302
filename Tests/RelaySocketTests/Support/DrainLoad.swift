import Glibc
import Relay
import Synchronization
import Testing

/// Clients that send and are sent numbered packets as fast as those are heard while they are let go, and what became of
/// each.
///
/// What a client has sent by the time at which it is let go has to arrive, in order and without a gap. Of what the
/// backend sends, a client gets the first so many, and each of the others is answered: its session was over by then.
final class DrainLoad {
  private struct State {
    /// By client: packets that it has sent, that the backend has of it, that the backend has sent, that it has, and
    /// that were answered as for an id that is not a session.
    var sentUp = [Int]()
    var cameUp = [Int]()
    var sentDown = [Int]()
    var cameDown = [Int]()
    var answered = [Int]()
    var reasons = [String?]()
    /// What did not come in its turn.
    var faults = [String]()

    /// Whether there is room for one more of a client's packets on its way up.
    func mayComeUp(_ index: Int) -> Bool { sentUp[index] - cameUp[index] < DrainLoad.mostUnderWay }
    /// The same on its way down, of a client that has not ended.
    func mayGoDown(_ index: Int) -> Bool {
      reasons[index] == nil && sentDown[index] - cameDown[index] - answered[index] < DrainLoad.mostUnderWay
    }
  }

  /// The most packets of a client that are under way each way. One thread reads for the backend, and in a debug build
  /// it is slower than all those that send. Without a bound the ends would come behind a backlog of megabytes, later
  /// than anybody waits for them.
  private static let mostUnderWay = 64

  private let rig: Rig
  private let clients: [RawClient]
  private let state: Shared
  private var threads: [Background] = []
  /// What each had sent when it was let go.
  private var dueUp: [Int]

  private final class Shared: Sendable {
    let state = Mutex(State())
    let isOver = Atomic(false)
  }

  init(_ rig: Rig, clients count: Int) throws {
    self.rig = rig
    clients = try (0..<count).map { _ in try rig.test.client() }
    dueUp = Array(repeating: 0, count: count)
    let state = Shared()
    self.state = state
    state.state.withLock {
      let zeros = Array(repeating: 0, count: count)
      $0 = State(sentUp: zeros, cameUp: zeros, sentDown: zeros, cameDown: zeros, answered: zeros)
      $0.reasons = Array(repeating: nil, count: count)
    }
    for (index, client) in clients.enumerated() { threads += Self.play(client, index, state) }
    let ids = clients.map(\.id)
    let firehose = rig.firehose
    threads.append(Background { try Self.hear(firehose, ids, state) })
    threads.append(Background { try Self.speak(firehose, ids, state) })
  }

  /// A packet with a number in front, of a size that follows from it.
  private static func packet(_ number: Int) -> [UInt8] {
    littleEndian(UInt64(number)) + Array(repeating: UInt8(truncatingIfNeeded: number), count: number % 200)
  }

  private static func number(_ packet: [UInt8]) -> Int? {
    guard packet.count >= 8 else { return nil }
    let number = packet[..<8].enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    return packet == self.packet(number) ? number : nil
  }

  // MARK: The parts

  /// A client: one thread sends until the other has read to the end.
  private static func play(_ client: RawClient, _ index: Int, _ state: Shared) -> [Background] {
    let hasEnded = SharedFlag()
    let reader = Background {
      defer { hasEnded.raise() }
      while true {
        let bytes: [UInt8]
        do {
          bytes = try client.receive().bytes
        } catch SocketFailure.ended(let end, let rest) where end == .fin && rest.isEmpty {
          return
        }
        state.state.withLock {
          if number(bytes) != $0.cameDown[index] { $0.faults.append("client \(index) got \(bytes.prefix(8))") }
          $0.cameDown[index] += 1
        }
      }
    }
    let writer = Background {
      while !hasEnded.isRaised {
        guard let next = state.state.withLock({ $0.mayComeUp(index) ? $0.sentUp[index] : nil }) else {
          usleep(1000)
          continue
        }
        // The relay may have closed meanwhile.
        guard (try? client.send(packet(next))) != nil else { break }
        state.state.withLock { $0.sentUp[index] += 1 }
        usleep(UInt32.random(in: 0...500))
      }
      while !hasEnded.isRaised { usleep(1000) }
      client.socket.finish()
    }
    return [reader, writer]
  }

  /// What the backend is told.
  private static func hear(_ firehose: Firehose, _ ids: [UInt64], _ state: Shared) throws {
    while !state.isOver.load(ordering: .relaxed) {
      let packet = try firehose.receive()
      guard let index = ids.firstIndex(of: packet.id) else { continue }
      let text = String(decoding: packet.data, as: UTF8.self)
      state.state.withLock { state in
        if packet.flag == 0 {
          let isDue = number(packet.data) == state.cameUp[index] && state.reasons[index] == nil
          if !isDue { state.faults.append("of client \(index) came \(packet)") }
          state.cameUp[index] += 1
        } else if text == "unknown client" {
          if state.reasons[index] == nil { state.faults.append("client \(index) was unknown before its end") }
          state.answered[index] += 1
        } else {
          if state.reasons[index] != nil { state.faults.append("client \(index) ended again: \(text)") }
          state.reasons[index] = text
        }
      }
    }
  }

  /// What the backend says: to each in turn that has room for it, until it hears of its end. A packet for nobody ends
  /// each turn, so that no client's packets follow each other directly: those would be answered together.
  private static func speak(_ firehose: Firehose, _ ids: [UInt64], _ state: Shared) throws {
    let nobody: UInt64 = 12345
    while !state.isOver.load(ordering: .relaxed) {
      var hasSpoken = false
      for (index, id) in ids.enumerated() {
        guard let next = state.state.withLock({ $0.mayGoDown(index) ? $0.sentDown[index] : nil }) else { continue }
        try firehose.send(.data(id, packet(next)))
        state.state.withLock { $0.sentDown[index] += 1 }
        hasSpoken = true
      }
      // Its answers have to be heard, too.
      if hasSpoken { try firehose.send(.data(nobody, [1])) }
      usleep(200)
    }
  }

  // MARK: What a test does

  /// Whether everybody has so many packets, both ways.
  func isUnderWay(packets: Int) -> Bool {
    state.state.withLock { state in (state.cameUp + state.cameDown).allSatisfy { $0 >= packets } }
  }

  /// Lets these go, in the midst of it, and waits for their ends.
  func letGo(_ range: Range<Int>) throws {
    let sent = state.state.withLock(\.sentUp)
    for index in range { dueUp[index] = sent[index] }
    rig.relay.end(clients[range].map(\.id), .relayDraining) { _ in }
    try #require(
      rig.test.eventually {
        rig.relay.takeEvents { _ in }
        return state.state.withLock { state in range.allSatisfy { state.reasons[$0] != nil } }
      })
  }

  /// Packets to clients that neither came nor were answered so far.
  private static func unaccounted(_ state: Shared) -> Int {
    state.state.withLock { state in
      var count = 0
      for index in state.sentDown.indices {
        count += state.sentDown[index] - state.cameDown[index] - state.answered[index]
      }
      return count
    }
  }

  /// To be called once all have been let go.
  func check() throws {
    let relay = rig.relay
    let isAccountedFor = rig.test.eventually { Self.unaccounted(state) <= Int(relay[.answersDropped]) }
    state.isOver.store(true, ordering: .relaxed)
    // Something for the thread that waits for what is never sent again.
    try rig.firehose.send(.data(12345, [1]))
    for thread in threads { try thread.join() }
    let seen = state.state.withLock { $0 }
    #expect(isAccountedFor && seen.faults.isEmpty, "\(seen)")
    for index in clients.indices {
      #expect(seen.reasons[index] == "relay draining")
      #expect(seen.cameUp[index] >= dueUp[index] && seen.cameUp[index] <= seen.sentUp[index] + 1)
      #expect(seen.cameDown[index] + seen.answered[index] <= seen.sentDown[index])
    }
  }
}

/// A flag between two threads.
private final class SharedFlag: Sendable {
  private let flag = Atomic(false)
  var isRaised: Bool { flag.load(ordering: .acquiring) }
  func raise() { flag.store(true, ordering: .releasing) }
}
