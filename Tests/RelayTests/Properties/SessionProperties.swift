import Testing
import VoltlaneCrypto

@testable import Relay

/// A shard's sessions against dictionaries and arrays.
@Suite struct SessionProperties {
  private static func ids(shards: Int = 4, seed: UInt64) -> ClientIDs {
    var random = SeededRandom(seed: seed)
    return ClientIDs(shards: shards) { random.next() }
  }

  private static let key = SessionProperties.makeKey()
  private static func makeKey() -> PublicKey? {
    let secret = Array(1...32 as ClosedRange<UInt8>)
    return try? SecretKey(bytes: secret.span.bytes).publicKey
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `an id is one session's, once`(seed: UInt64) throws {
    let key = try #require(Self.key)
    let ids = Self.ids(seed: seed)
    var table = try SessionTable(shard: 2, ids: ids)
    var random = SeededRandom(seed: seed)
    var live: [(id: UInt64, slot: UInt32)] = []
    var owed: [(id: UInt64, slot: UInt32)] = []
    var over: Set<UInt64> = []
    // Some cells have nearly used up their generations: these are retired.
    for slot in stride(from: 0 as UInt32, to: 40, by: 5) {
      table[slot].generation = ClientIDs.generations - 1 - UInt64(slot % 3)
    }
    for step in 0..<1500 {
      switch random.below(5) {
      case 0, 1:
        let started = table.start(connection: UInt32(step), key: key, address: .none, now: 0)
        let slot = try #require(started)
        let id = table[slot].id
        expect(!over.contains(id) && !live.contains { $0.id == id || $0.slot == slot })
        expect(!owed.contains { $0.slot == slot })
        expect(ids.place(of: id) == (2, slot))
        live.append((id, slot))
      case 2 where !live.isEmpty:
        let session = live.remove(at: random.below(live.count))
        table.remove(session.slot)
        over.insert(session.id)
      case 3 where !live.isEmpty:
        let session = live.remove(at: random.below(live.count))
        table.owe(session.slot, .kicked)
        owed.append(session)
      case 4:
        expect(table.firstOwed == owed.first?.slot)
        guard let first = owed.first else { break }
        table.removeFirstOwed(.failure)
        over.insert(first.id)
        owed.removeFirst()
      default: break
      }
      expect(table.live == live.count)
      for session in live.suffix(10) {
        expect(table.find(session.id, at: session.slot) == session.slot)
        expect(table.findLive(session.id, at: session.slot) == session.slot)
      }
      for id in over.prefix(10) + owed.prefix(10).map(\.id) {
        expect(table.find(id, at: ids.place(of: id).slot) == nil)
        expect(table.findLive(id, at: ids.place(of: id).slot) == nil)
      }
    }
    for slot in 0..<table.used { expect(table[slot].generation <= ClientIDs.generations) }
  }

  @Test(arguments: [1, 2, 3, 7, 64, 256]) func `ids name their cells`(shards: Int) {
    let ids = Self.ids(shards: shards, seed: UInt64(shards))
    var random = SeededRandom(seed: 3)
    var seen: Set<UInt64> = []
    let last = UInt32(ids.slotsPerShard - 1)
    for generation in [0, 1, 2, 1 << 20, (1 << 40) - 1] as [UInt64] {
      for slot in [0, 1, last, last - 1, UInt32(random.below(Int(last)))] {
        for shard in Set([0, shards - 1]) {
          let id = ids.id(shard: shard, slot: slot, generation: generation)
          expect(ids.place(of: id) == (shard, slot))
          seen.insert(id)
        }
      }
    }
    expect(seen.count > 4 * 5)
  }

  private struct Stale: Equatable {
    var slot: UInt32
    var prefix: UInt64
    var isHeardOf: Bool
  }

  @Test(arguments: 0..<12 as Range<UInt64>) func `stale sessions go by age and by prefix`(seed: UInt64) throws {
    let key = try #require(Self.key)
    var table = try SessionTable(shard: 0, ids: Self.ids(shards: 1, seed: seed))
    var random = SeededRandom(seed: seed)
    let count = 120
    for number in 0..<count {
      let slot = table.start(
        connection: .none, key: key, address: AddressKey(bits: UInt64(random.below(1 + Int(seed) * 3)) << 8),
        now: 0)
      expect(slot == UInt32(number))
    }
    var stale = try StaleSessions(capacity: count)
    var model: [Stale] = []
    for _ in 0..<2000 {
      let slot = UInt32(random.below(count))
      if let place = model.firstIndex(where: { $0.slot == slot }) {
        if !model[place].isHeardOf, random.oneIn(2) {
          stale.nowHeardOf(slot, table)
          model[place].isHeardOf = true
          expect(table[slot].isHeardOf)
        } else {
          stale.remove(slot, table)
          model.remove(at: place)
        }
      } else {
        table[slot].isHeardOf = !random.oneIn(10)
        stale.add(slot, table)
        model.append(
          Stale(
            slot: slot, prefix: table[slot].address.prefix, isHeardOf: table[slot].isHeardOf))
      }
      compare(stale, model)
    }
  }

  private func compare(_ stale: borrowing StaleSessions, _ model: [Stale]) {
    let (count, unheard, oldest, next) = (stale.count, stale.unheardCount, stale.oldest, stale.nextToEvict)
    expect(count == model.count && unheard == model.count { !$0.isHeardOf })
    expect(oldest == model.first?.slot)
    guard let next else {
      expect(model.isEmpty)
      return
    }
    if unheard > 0 {
      expect(next == model.first { !$0.isHeardOf }?.slot)
    } else {
      let sizes = Dictionary(grouping: model, by: \.prefix).mapValues(\.count)
      let chosen = model.first { $0.slot == next }
      expect(chosen.flatMap { sizes[$0.prefix] } == sizes.values.max())
      expect(model.first { $0.prefix == chosen?.prefix } == chosen)
    }
  }
}
