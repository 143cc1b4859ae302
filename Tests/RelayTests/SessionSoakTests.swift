import Testing
import VoltlaneWire

@testable import Relay

/// Sessions under chance, over a scripted kernel. How it works:
///
/// - Eight clients and a backend do what a seed says, a step at a time: they send, reset, half-close, come back,
///   take over, attempt and abandon; the backend sends, kicks and dies. The relay runs a random while between steps,
///   over a kernel that is rough.
/// - Packets are numbered each way. What arrives must have growing numbers: a gap only of what was sent before a
///   firehose ended, or up a socket; a number twice only where the client had sent its FIN before it.
/// - In the end everybody is kicked. Every session has had one 0x01, unless a firehose was lost, and the relay holds no
///   connection, no session and no byte of its budgets.
///
/// The same seed gives the same run: a failing one is in the test's name.
@Suite struct SessionSoakTests {
  /// A client as it knows itself.
  struct Person {
    var id: UInt64
    var client: SimulatedClient
    var isOnline = true
    var hasFinished = false
    var hasEnded = false
    /// The next number, each way; and what the other end has seen.
    var up: UInt32 = 0
    var upSeen: UInt32 = 0
    var down: UInt32 = 0
    var downSeen: UInt32 = 0
    /// From here on packets may come again, once: they came after the client's FIN, and its socket ended.
    var repeatsFrom: UInt32?
    var finishedAt: UInt32?
    /// Packets below these numbers may be missing.
    var upLost: UInt32 = 0
    var downLost: UInt32 = 0
    var failures = 0
    var kicked = false

    /// Its socket ended, with what the relay had not read. The simulation hands over at once what the relay sends, so
    /// that nothing is lost the other way.
    mutating func socketEnds() { upLost = up }

    mutating func firehoseEnds() {
      upLost = up
      downLost = down
    }
  }

  @Test(arguments: 1...60 as ClosedRange<UInt64>)
  func chance(seed: UInt64) throws {
    var run = try Run(seed: seed)
    for _ in 0..<150 { try run.step() }
    try run.end()
  }

  struct Run {
    let scene: SessionScene
    var random: SeededRandom
    var people: [Person] = []
    let shards: Int
    var lostFirehose = false

    init(seed: UInt64) throws {
      shards = 1 + Int(seed % 2)
      scene = try SessionScene(seed: seed, shards: shards) {
        $0.halfCloseTimeout = .seconds(2)
        // What is tested is not these limits.
        $0.missedPacketsBuffer = 64 << 20
        $0.clientSendBuffer = 64 << 20
        $0.packetTimeout = .seconds(3600)
      }
      random = SeededRandom(seed: seed &* 77)
      for index in 0..<8 {
        let member = scene.join(shard: index % shards)
        people.append(Person(id: member.id, client: member.client))
      }
    }

    mutating func number(_ value: UInt32, _ id: UInt64) -> [UInt8] {
      let size = random.oneIn(10) ? 20_000 + random.below(20_000) : random.below(300)
      let head = (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      return head + [UInt8(truncatingIfNeeded: id)] + [UInt8](repeating: 7, count: size)
    }

    mutating func step() throws {
      let index = random.below(people.count)
      switch random.below(24) {
      case 0...5 where people[index].isOnline && !people[index].hasFinished && !people[index].hasEnded:
        for _ in 0...random.below(4) {
          let data = number(people[index].up, people[index].id)
          people[index].up += 1
          scene.simulation.write(SimulatedClient.packet(data), to: people[index].client.socket)
        }
      case 0...9:
        for _ in 0...random.below(4) {
          let data = number(people[index].down, people[index].id)
          people[index].down += 1
          scene.simulation.write(SimulatedBackend.packet(people[index].id, .data, data), to: scene.backend.socket)
        }
      case 10,
        11 where people[index].isOnline:
        // A reset: what the relay had not read is lost, and what the client had not.
        scene.simulation.reset(people[index].client.socket)
        take()
        people[index].isOnline = false
        people[index].socketEnds()
      case 12 where people[index].isOnline && !people[index].hasFinished:
        scene.simulation.finish(people[index].client.socket)
        people[index].hasFinished = true
        people[index].finishedAt = people[index].downSeen
        if random.oneIn(2) { people[index].client.socket.unacknowledged = random.below(2000) }
      case 13, 14, 15:
        comeBack(index)
      case 16:
        _ = scene.attempt(people[index].id, shard: random.below(2) % shards)
        take()
      case 17 where random.oneIn(3) && !people[index].kicked:
        people[index].kicked = true
        scene.simulation.write(SimulatedBackend.packet(people[index].id, .kick), to: scene.backend.socket)
      case 18 where random.oneIn(4):
        take()
        lostFirehose = true
        for index in people.indices { people[index].firehoseEnds() }
        scene.simulation.reset(scene.backend.socket)
        scene.simulation.pass(3 * Limits.second)
        scene.backend = SimulatedBackend(scene.simulation.backends.last!)
      case 19...22:
        // Slow, and fast again.
        let socket = random.oneIn(4) ? scene.backend.socket : people[index].client.socket
        if socket.room == .max { socket.room = random.below(500) } else { scene.simulation.allow(.max, socket) }
      default:
        scene.simulation.pass(UInt64(random.below(1000)) * Limits.millisecond)
      }
      for _ in 0..<random.below(30) { scene.simulation.step(until: scene.simulation.now) }
      take()
    }

    /// On a new socket; the old one may still look alive.
    mutating func comeBack(_ index: Int) {
      let attempt = scene.attempt(people[index].id, shard: random.below(2) % shards)
      take()
      guard attempt.challenge != nil, !attempt.socket.relayFinished, !attempt.socket.relayClosed else {
        if attempt.socket.relayFinished { people[index].hasEnded = true }
        return
      }
      let member = scene.finish(attempt)
      take()
      people[index].socketEnds()
      people[index].repeatsFrom = people[index].finishedAt ?? people[index].repeatsFrom
      people[index].finishedAt = nil
      people[index].client = member.client
      people[index].isOnline = true
      people[index].hasFinished = false
      guard let ping = people[index].client.next() else { return }
      #expect(ping == SessionTests.ping)
      take()
    }

    /// Takes and checks what has arrived.
    mutating func take() {
      while let packet = scene.next() {
        guard let index = people.firstIndex(where: { $0.id == packet.id }) else {
          Issue.record("nobody has the id \(packet.id)")
          continue
        }
        switch packet.flag {
        case .data:
          #expect(people[index].failures == 0, "data after the 0x01")
          let value = packet.data.prefix(4).enumerated().reduce(UInt32(0)) {
            $0 | UInt32($1.element) << UInt32(8 * $1.offset)
          }
          #expect(packet.data[4] == UInt8(truncatingIfNeeded: packet.id), "another's packet")
          #expect(
            value == people[index].upSeen || value > people[index].upSeen && value <= people[index].upLost,
            "up \(value) where \(people[index].upSeen) was due")
          people[index].upSeen = value + 1
        case .failure:
          let reason = String(decoding: packet.data, as: UTF8.self)
          if reason == "unknown client" {
            #expect(people[index].failures == 1 || lostFirehose)
          } else {
            people[index].failures += 1
            #expect(people[index].failures == 1, "\(reason)")
            #expect(
              reason == "kicked" && people[index].kicked || reason == "backend refused packet" && lostFirehose,
              "\(reason)")
            people[index].hasEnded = true
          }
        case .reconnection:
          #expect(people[index].failures == 0, "0x03 after the 0x01")
        case .kick, .away, .volatile, .multicast, .address: Issue.record("\(packet.flag) from the relay")
        }
      }
      for index in people.indices where people[index].isOnline {
        while let data = people[index].client.next() {
          let value = data.prefix(4).enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << UInt32(8 * $1.offset) }
          #expect(data[4] == UInt8(truncatingIfNeeded: people[index].id), "another's packet")
          let due = people[index].downSeen
          #expect(
            value == due || value > due && value <= people[index].downLost
              || value < due && value >= people[index].repeatsFrom ?? .max,
            "down \(value) where \(due) was due")
          people[index].repeatsFrom = nil
          people[index].downSeen = value + 1
        }
      }
    }

    /// Everybody is kicked, and nothing is left.
    mutating func end() throws {
      for socket in people.map(\.client.socket) + [scene.backend.socket] { scene.simulation.allow(.max, socket) }
      for index in people.indices {
        people[index].kicked = true
        scene.simulation.write(SimulatedBackend.packet(people[index].id, .kick), to: scene.backend.socket)
      }
      scene.simulation.pass(20 * Limits.second)
      take()
      let simulation = scene.simulation
      for person in people { #expect(person.failures == 1 || lostFirehose) }
      #expect(simulation[.reconnections] > 0 && simulation[.packetsUp] > 0 && simulation[.packetsDown] > 0)
      #expect(simulation[.sessionsStarted] == 8 && simulation[.sessionsEnded] == 8)
      #expect(simulation.parts.missedBudget.charged == 0)
      #expect(simulation.parts.budget.charged == 0)
      #expect(simulation.parts.staleTotals.count == 0)
      #expect(simulation.openSockets == 1, "all but the backend's are closed")
    }
  }
}
