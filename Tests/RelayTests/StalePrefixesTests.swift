import Testing

@testable import Relay

/// The table of the prefixes of stale sessions against one that is searched through. How it works: a seed draws the
/// order in which sessions come and go; after each, all that the table tells is compared.
@Suite struct StalePrefixesTests {
  @Test(arguments: 0..<20 as Range<UInt64>)
  func `it finds every prefix, and one that holds most`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var table = try StalePrefixes(capacity: 4096)
    var counts: [UInt64: Int] = [:]
    // Few keys make full prefixes, many make many places.
    let keys = [3, 50, 4000][Int(seed % 3)]
    for step in 0..<4000 {
      let key = UInt64(random.below(keys)) << 40
      // More come than go in the first half, more go than come in the second.
      let comes = random.oneIn(4) != (step < 2000)
      if comes, counts.values.reduce(0, +) < 4096 {
        let prefix = table.findOrAdd(key)
        table.countUp(prefix)
        counts[key, default: 0] += 1
      } else if let count = counts[key] {
        let prefix = table.find(key)
        table.countDown(try #require(prefix))
        counts[key] = count == 1 ? nil : count - 1
      }
      let fullest = table.fullest
      #expect((fullest == nil) == counts.isEmpty)
      if let fullest {
        let key = table[fullest].key
        #expect(counts[key] == counts.values.max(), "seed \(seed), step \(step)")
      }
      if step % 100 == 0 {
        for key in 0..<UInt64(keys) {
          let found = table.find(key << 40)
          #expect((found != nil) == (counts[key << 40] != nil), "seed \(seed), step \(step)")
        }
      }
    }
  }

  /// A shard with a million stale sessions, each from a network of its own, and then all from one.
  @Test func `it holds as many as there can be sessions`() throws {
    let capacity = 1 << 16
    var table = try StalePrefixes(capacity: capacity)
    for round in 0..<2 as Range<UInt64> {
      for number in 0..<UInt64(capacity) { table.countUp(table.findOrAdd(round == 0 ? number : 1 << 50)) }
      let fullest = table.fullest
      let key = table[try #require(fullest)].key
      #expect(round == 0 || key == 1 << 50)
      for number in 0..<UInt64(capacity) {
        let prefix = table.find(round == 0 ? number : 1 << 50)
        table.countDown(try #require(prefix))
      }
      let left = table.fullest
      #expect(left == nil)
    }
  }
}
