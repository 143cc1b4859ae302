import Testing

@testable import Relay

@Suite struct TokenBucketTests {
  /// How many of `tries` tokens there are.
  private func take(_ tries: Int, _ bucket: inout TokenBucket, _ rate: Rate, now: UInt64) -> Int {
    (0..<tries).count { _ in bucket.take(rate, now: now) }
  }

  @Test func aBurstAtOnceThenOneAPeriod() {
    let rate = Rate(20, per: .second, burst: 40)
    var bucket = TokenBucket()
    var now: UInt64 = 5 * Limits.second
    #expect(take(100, &bucket, rate, now: now) == 40)
    for _ in 0..<10 {
      now += Limits.second / 20
      #expect(take(1, &bucket, rate, now: now) == 1)
      #expect(take(1, &bucket, rate, now: now) == 0)
    }
    // Quiet for as long as one likes: no more than the burst.
    now += 1000 * Limits.second
    #expect(take(100, &bucket, rate, now: now) == 40)
  }

  @Test func withoutABurstAPeriodsTokensMayComeAtOnce() {
    let rate = Rate(30, per: .minute)
    var bucket = TokenBucket()
    #expect(take(100, &bucket, rate, now: 0) == 30)
    #expect(take(1, &bucket, rate, now: 2 * Limits.second - 1) == 0)
    #expect(take(1, &bucket, rate, now: 2 * Limits.second) == 1)
  }

  @Test func whatIsOwedComesBeforeTheNextToken() {
    let rate = Rate(1000, per: .second, burst: 100)
    var bucket = TokenBucket()
    bucket.charge(600, rate, now: 0)
    #expect(bucket.debt(rate, now: 0) == Limits.second / 2)
    #expect(take(1, &bucket, rate, now: Limits.second / 2) == 0)
    #expect(bucket.debt(rate, now: Limits.second / 2) == 0)
    #expect(take(1, &bucket, rate, now: Limits.second / 2 + Limits.millisecond) == 1)
  }

  @Test func timesAreExactAndNeverShort() {
    #expect(Rate(3, per: .second).time(for: 1) == 333_333_334)
    #expect(Rate(3, per: .second).time(for: 3) == Limits.second)
    #expect(Rate(300, per: .minute).time(for: 1) == 200 * Limits.millisecond)
    #expect(Rate(1 << 40, per: .second).time(for: 1 << 40) == Limits.second)
    #expect(Rate(1, per: .minute, burst: 1 << 40).time(for: 1 << 40) > 1 << 60)
  }
}
