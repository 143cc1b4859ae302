import Testing
import VoltlaneWire

@testable import Relay

/// What happens often is told whole: the first at once, the rest a second later, and together they are what was
/// counted.
@Suite struct DigestTests {
  private static let crowd = ClientAddress(v4: 0x0b00_0001)
  private static let other = ClientAddress(v4: 0x0b00_0002)

  private func scene(shards: Int = 1, _ configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> SessionScene
  {
    try SessionScene(shards: shards) {
      $0.eventLevel = .info
      configure(&$0)
    }
  }

  private func refuse(_ scene: SessionScene, _ address: ClientAddress, shard: Int = 0) {
    let socket = scene.simulation.connect(shard: shard, address: address)
    scene.simulation.settle(for: 0)
    #expect(socket.relayClosed)
  }

  /// What a digest tells at the simulation's time, as text; and in how long it wants to be asked again.
  private func tell(_ digest: inout Digest, _ scene: SessionScene) -> (events: [String], next: UInt64) {
    var events: [String] = []
    let next = digest.tell(now: scene.simulation.now) { events.append(Self.text($0)) }
    return (events, next == .max ? .max : next - scene.simulation.now)
  }

  private static func text(_ event: Event) -> String {
    switch event {
    case .clientsRefused(let reason, let count, let most):
      "\(reason) \(count)" + (most.map { " \($0.address) \($0.count)" } ?? "")
    default: "\(event)"
    }
  }

  @Test func aBurstIsToldWhole() throws {
    let scene = try scene { $0.protection.denied = [try! Network("11.0.0.0/8")] }
    var digest = scene.simulation.parts.digest
    let wakes = scene.simulation.controlWakes
    refuse(scene, Self.crowd)
    #expect(scene.simulation.controlWakes == wakes + 1)
    var told = tell(&digest, scene)
    #expect(told.events == ["denied 1 11.0.0.1 1"])
    // Nothing is held back, so nobody has to look again.
    #expect(told.next == .max)
    for number in 0..<90 { refuse(scene, number % 3 == 0 ? Self.other : Self.crowd) }
    // One call for all of them: this thread looks by itself then.
    #expect(scene.simulation.controlWakes == wakes + 2)
    told = tell(&digest, scene)
    #expect(told.events.isEmpty)
    #expect(told.next <= Limits.second)
    scene.simulation.pass(told.next)
    told = tell(&digest, scene)
    #expect(told.events == ["denied 90 11.0.0.1 60"])
    #expect(told.next == .max)
    scene.simulation.pass(10 * Limits.second)
    #expect(tell(&digest, scene).events.isEmpty)
    refuse(scene, Self.other)
    #expect(tell(&digest, scene).events == ["denied 1 11.0.0.2 1"])
  }

  /// What one reason has to wait for delays no other.
  @Test func everyReasonHasItsOwnSecond() throws {
    let scene = try scene {
      $0.protection.denied = [try! Network("11.0.0.1")]
      $0.protection.maxClientsPerAddress = 1
    }
    var digest = scene.simulation.parts.digest
    for _ in 0..<2 {
      refuse(scene, Self.crowd)
      _ = tell(&digest, scene)
    }
    _ = scene.join(address: Self.other)
    refuse(scene, Self.other)
    #expect(tell(&digest, scene).events == ["addressClients 1 11.0.0.2 1"])
  }

  /// A line that stands for many has one of them by name.
  @Test func theFirstSessionIsNamed() throws {
    let scene = try scene(shards: 2)
    var digest = scene.simulation.parts.digest
    var told: [(count: UInt64, first: Event.Session?)] = []
    func tell() {
      _ = digest.tell(now: scene.simulation.now) {
        if case .sessionsEnded(.packetTooLarge, let count, let first) = $0 { told.append((count, first)) }
      }
    }
    var (ids, addresses) = ([UInt64](), [UInt64: AddressKey]())
    for number in 0..<7 {
      let address = ClientAddress(v4: 0x0b00_0000 + UInt32(number))
      let member = scene.join(shard: number % 2, address: address)
      ids.append(member.id)
      addresses[member.id] = address.key
      scene.simulation.write([255, 255, 255, 255], to: member.socket)
      scene.simulation.settle(for: 0)
      if number == 0 { tell() }
    }
    scene.simulation.pass(Limits.second)
    tell()
    #expect(told.map(\.count) == [1, 6])
    #expect(told.map { $0.first?.id }.first == ids[0])
    #expect(told.last?.first.map { ids[1...2].contains($0.id) } == true, "one of the first of each shard")
    #expect(told.allSatisfy { $0.first.map { addresses[$0.id] == $0.address } == true })
  }

  @Test func theRestIsToldAtTheEnd() throws {
    let scene = try scene { $0.protection.denied = [try! Network("11.0.0.0/8")] }
    var digest = scene.simulation.parts.digest
    refuse(scene, Self.crowd)
    _ = tell(&digest, scene)
    for _ in 0..<5 { refuse(scene, Self.crowd) }
    var events: [String] = []
    digest.tellRest { events.append(Self.text($0)) }
    #expect(events == ["denied 5 11.0.0.1 5"])
  }

  /// Where the log does not want to hear of it, nobody is woken for it.
  @Test func aQuietLogIsLeftAlone() throws {
    let scene = try scene {
      $0.eventLevel = .error
      $0.protection.denied = [try! Network("11.0.0.0/8")]
    }
    let wakes = scene.simulation.controlWakes
    refuse(scene, Self.crowd)
    #expect(scene.simulation.controlWakes == wakes)
    var digest = scene.simulation.parts.digest
    #expect(tell(&digest, scene).next == .max)
  }

  /// Of whatever is told, the lines add up to the counter, whenever it was asked; and no address is said to have had
  /// more than it had.
  @Test(arguments: 1...8 as ClosedRange<UInt64>) func linesAddUpToTheCounters(seed: UInt64) throws {
    let scene = try scene(shards: 2) {
      $0.protection.denied = [try! Network("11.0.0.0/8")]
      $0.protection.banAfter = Rate(1, per: .minute)
      $0.protection.clientPacketRate = Rate(1, per: .minute)
    }
    var random = SeededRandom(seed: seed)
    var digest = scene.simulation.parts.digest
    var sums: [String: UInt64] = [:]
    var refused: [AddressKey: UInt64] = [:]
    var said: [AddressKey: UInt64] = [:]
    func take(_ event: Event) {
      switch event {
      case .clientsRefused(let reason, let count, let most):
        sums["\(reason)", default: 0] += count
        if reason == .denied, let most { said[most.address, default: 0] += most.count }
      case .sessionsEnded(let reason, let count, _): sums["\(reason)", default: 0] += count
      case .clientsSlowed(let rate, let count, _): sums["\(rate)", default: 0] += count
      case .addressesBanned(_, let count): sums["bans", default: 0] += count
      case .backendMalformed(let what, let count, _): sums["\(what)", default: 0] += count
      default: Issue.record("\(event)")
      }
    }
    for number in 0..<300 {
      let shard = Int(random.below(2))
      switch random.below(6) {
      case 0, 1:
        let address = ClientAddress(v4: 0x0b00_0000 + UInt32(random.below(6)))
        refused[address.key, default: 0] += 1
        refuse(scene, address, shard: shard)
      case 2:
        let member = scene.join(shard: shard, address: ClientAddress(v4: 0x0a00_0000 + UInt32(number)))
        scene.simulation.write([255, 255, 255, 255], to: member.socket)
      case 3:
        let member = scene.join(shard: shard, address: ClientAddress(v4: 0x0c00_0000 + UInt32(number)))
        scene.simulation.write((0..<3).flatMap { SimulatedClient.packet([$0]) }, to: member.socket)
      case 4:
        let bytes: [[UInt8]] = [[2, 0, 0, 0, 1, 2], [9, 0, 0, 0] + Array(repeating: 9, count: 9)]
        scene.simulation.write(bytes[Int(random.below(2))], to: scene.backend.socket)
      default: scene.simulation.pass(UInt64(random.below(900)) * Limits.millisecond)
      }
      scene.simulation.settle(for: 0)
      if random.below(3) == 0 { _ = digest.tell(now: scene.simulation.now, take) }
    }
    digest.tellRest(take)
    for reason in RefusalReason.allCases { #expect(sums["\(reason)", default: 0] == scene.simulation[reason.metric]) }
    for reason in [CloseReason.packetTooLarge, .packetTimeout, .slowClient] {
      #expect(sums["\(reason)", default: 0] == scene.simulation[reason.metric])
    }
    #expect(sums["packets", default: 0] == scene.simulation[.slowedPacketRate])
    #expect(sums["bans", default: 0] == scene.simulation[.bans])
    let malformed = sums["tooShort", default: 0] + sums["unknownFlag", default: 0] + sums["wrongDirection", default: 0]
    #expect(malformed == scene.simulation[.packetsMalformed])
    #expect(sums["denied", default: 0] > 0 && malformed > 0 && sums["packets", default: 0] > 0)
    for (address, count) in said { #expect(count <= refused[address, default: 0]) }
  }

  /// A key that did more than a quarter is known, in whatever order, and never for more than it did.
  @Test(arguments: 1...20 as ClosedRange<UInt64>) func culpritsAreFound(seed: UInt64) {
    let arena = Arena()
    let culprits = Culprits(arena)
    var random = SeededRandom(seed: seed)
    var counts: [UInt64: UInt64] = [:]
    let total = 400
    for _ in 0..<total {
      // Half of them are of one, the rest of many.
      let key = random.below(2) == 0 ? 7 : 100 + UInt64(random.below(200))
      counts[key, default: 0] += 1
      culprits.note(key, .refusedClients)
    }
    var known: [UInt64: UInt64] = [:]
    culprits.take(.refusedClients) { known[$0] = $1 }
    for (key, count) in known { #expect(count <= counts[key, default: 0]) }
    #expect(known.max { $0.value < $1.value }?.key == 7)
    var after = 0
    culprits.take(.refusedClients) { _, _ in after += 1 }
    #expect(after == 0)
  }
}
