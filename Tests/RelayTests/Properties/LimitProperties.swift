import Testing

@testable import Relay

/// A bucket in one word against one that counts its tokens.
@Suite struct TokenBucketProperties {
  /// Tokens times the period, so that nothing is ever rounded.
  private struct Model {
    let rate: Rate
    var level: Int
    var seen: UInt64

    var period: Int { Int(rate.period.rawValue * Limits.second) }

    init(_ rate: Rate, now: UInt64) {
      self.rate = rate
      seen = now
      level = 0
      level = rate.burst * period
    }

    mutating func take(now: UInt64) -> Bool {
      let came = Int(now - seen).multipliedReportingOverflow(by: rate.count)
      level = came.overflow ? rate.burst * period : min(level + came.partialValue, rate.burst * period)
      seen = now
      guard level >= period else { return false }
      level -= period
      return true
    }
  }

  /// Rates whose tokens take whole nanoseconds, so that the two agree to the last one.
  private static let rates = [
    Rate(1, per: .second), Rate(10, per: .second, burst: 3), Rate(20, per: .second, burst: 40), Rate(3, per: .minute),
    Rate(1000, per: .second, burst: 1), Rate(300, per: .minute, burst: 7),
  ]

  @Test(arguments: 0..<24) func `a token is taken when there is one`(number: Int) {
    let rate = Self.rates[number % Self.rates.count]
    var random = SeededRandom(seed: UInt64(number))
    let step = Int(rate.period.rawValue * Limits.second) / rate.count
    // From the start of the machine's clock to centuries on.
    var now: UInt64 = [0, 1, 1 << 40, .max / 8][number / 6]
    var bucket = TokenBucket()
    var model = Model(rate, now: now)
    var taken = 0
    for _ in 0..<3000 {
      switch random.below(4) {
      case 0: now += UInt64(random.below(4 * step))
      case 1: now += UInt64(step)
      case 2 where random.oneIn(20): now += UInt64(step * rate.burst)
      default: break
      }
      let expected = model.take(now: now)
      let hasTaken = bucket.take(rate, now: now)
      expect(hasTaken == expected)
      if hasTaken { taken += 1 }
    }
    expect(taken > 100)
  }

  /// Whatever else is asked of it, it never gives more than the rate and one burst.
  @Test(arguments: 0..<12 as Range<UInt64>) func `threads share a bucket's tokens`(seed: UInt64) {
    let rate = Self.rates[Int(seed) % Self.rates.count]
    let bucket = SharedTokenBucket(.forTests)
    var alone = TokenBucket()
    var random = SeededRandom(seed: seed)
    var now: UInt64 = 5
    for _ in 0..<500 {
      now += UInt64(random.below(1 << 28))
      let expected = alone.take(rate, now: now)
      let hasTaken = bucket.take(rate, now: now, grace: 0)
      expect(hasTaken == expected)
    }
  }
}

/// What is remembered by address, against a dictionary.
@Suite struct AddressTableProperties {
  @Test(arguments: 0..<8 as Range<UInt64>) func `who counts is never forgotten or mixed up`(seed: UInt64) throws {
    let arena = Arena.forTests
    var random = SeededRandom(seed: seed)
    let table = try AddressTable(arena, clients: 1) { random.next() }
    // Two thirds of what it has places for, so that most sets have room and some have none.
    let addresses = table.capacity * 2 / 3
    var pinned: [UInt64: UInt32] = [:]
    var now: UInt64 = 1
    for _ in 0..<20_000 {
      now += 1
      let address = UInt64(1 + random.below(addresses))
      let fingerprint = table.fingerprint(of: AddressKey(bits: address))
      if random.oneIn(3), let count = pinned[address] {
        let found = table.find(fingerprint)
        guard let place = found else {
          Issue.record("address \(address) is forgotten, seed \(seed)")
          return
        }
        expect(place.record.pointee.clients == count)
        place.record.pointee.clients -= 1
        pinned[address] = count == 1 ? nil : count - 1
        table.unlock(place)
      } else if let place = table.findOrMake(fingerprint, now: now) {
        expect(place.record.pointee.clients == pinned[address] ?? 0)
        place.record.pointee.clients += 1
        pinned[address, default: 0] += 1
        table.unlock(place)
      } else {
        expect(pinned[address] == nil)
      }
    }
    for (address, count) in pinned {
      let found = table.find(table.fingerprint(of: AddressKey(bits: address)))
      guard let place = found else {
        Issue.record("address \(address) is forgotten, seed \(seed)")
        return
      }
      expect(place.record.pointee.clients == count)
      table.unlock(place)
    }
  }
}

/// Budgets that shards share, against sums.
@Suite struct BudgetProperties {
  @Test(arguments: 0..<8 as Range<UInt64>) func `it is exceeded when the sum is`(seed: UInt64) {
    let shards = 1 + Int(seed % 4)
    let budget = SharedBudget(.forTests, limit: 1000, shards: shards)
    var random = SeededRandom(seed: seed)
    var charged = 0
    var largest = Array(repeating: 0, count: shards)
    for _ in 0..<500 {
      switch random.below(3) {
      case 0:
        let count = random.below(300)
        budget.charge(count)
        charged += count
      case 1:
        let count = random.below(charged + 1)
        budget.giveBack(count)
        charged -= count
      default:
        let shard = random.below(shards)
        largest[shard] = random.below(1 << 20)
        budget.publishLargest(largest[shard], of: shard)
      }
      expect(budget.charged == charged && budget.isExceeded == (charged > 1000))
      expect(largest[budget.shardWithLargest()] == largest.max())
    }
  }

  /// A request is taken once, by the shard that it is for.
  @Test func `requests are taken once`() {
    let requests = ShardRequests(.forTests, shards: 5)
    for shard in 0..<5 {
      requests.ask(shard)
      requests.ask(shard)
      for other in 0..<5 { expect(requests.isAsked(other) == (other == shard)) }
      let isTaken = requests.take(shard)
      let isTakenAgain = requests.take(shard)
      expect(isTaken && !isTakenAgain)
    }
  }
}
