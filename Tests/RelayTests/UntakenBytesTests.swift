import Testing

@testable import Relay

@Suite struct UntakenBytesTests {
  /// Against the ages of all bytes, noted one by one.
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func theAgeIsThatOfTheOldestByteThatIsNotTaken(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes = UntakenBytes()
    var sent: [(position: UInt64, time: UInt64)] = []
    var position: UInt64 = 0
    var taken: UInt64 = 0
    var longest: UInt64 = 0
    for second in 1...400 as ClosedRange<UInt64> {
      let now = second * Limits.second
      taken = min(position, taken + UInt64(random.below(seed.isMultiple(of: 2) ? 150 : 60)))
      bytes.acknowledge(upTo: taken)
      position += UInt64(random.below(100))
      if position > taken { bytes.send(upTo: position, now) }
      sent.append((position, now))
      let oldest = sent.first { $0.position > taken }
      let age = oldest.map { now - $0.time } ?? 0
      longest = max(longest, age)
      #expect(bytes.age(now) <= age)
      #expect(age <= bytes.age(now) + longest / 8 + 2 * Limits.second)
      if age == 0 { #expect(bytes.age(now) == 0) }
    }
  }

  @Test func whatStandsGrowsOlder() {
    var bytes = UntakenBytes()
    for second in 0..<1000 as Range<UInt64> {
      bytes.acknowledge(upTo: 0)
      bytes.send(upTo: 10 + second, second)
      #expect(bytes.age(second) == second)
    }
    bytes.acknowledge(upTo: 1009)
    #expect(bytes.age(1000) == 0)
  }
}
