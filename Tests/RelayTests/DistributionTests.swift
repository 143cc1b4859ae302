import Testing
import VoltlaneWire

@testable import Relay

/// How values are sorted by size, and how a turn is sampled.
@Suite struct DistributionTests {
  @Test(arguments: Distribution.allCases) func `a value is in the first bucket whose bound it does not exceed`(
    distribution: Distribution
  ) {
    let bounds = distribution.bounds
    #expect(bounds.count == Distribution.buckets - 1 && bounds == bounds.sorted())
    let near = bounds.flatMap { [$0 - 1, $0, $0 + 1] }
    for value in [0, 1, .max] + near {
      let expected = bounds.firstIndex { value <= $0 } ?? bounds.count
      #expect(Distributions.bucket(of: value, distribution.firstPower) == expected, "\(value)")
    }
  }

  @Test func `values are counted and added up`() {
    let arena = Arena()
    let distributions = Distributions(arena)
    for value in [0, 1, 2, 3, 1000] as [UInt64] { distributions.add(.turnPackets, value) }
    distributions.add(.uplinkTime, 5)
    let (buckets, sum) = distributions.counts(.turnPackets)
    #expect(sum == 1006 && buckets.reduce(0, +) == 5)
    #expect(buckets[0] == 2 && buckets[1] == 1 && buckets[2] == 1 && buckets[10] == 1)
    #expect(distributions.counts(.uplinkTime).sum == 5)
  }

  @Test func `one turn of sixteen is looked at`() {
    var sampling = TurnSampling()
    var looks: [Int] = []
    for turn in 0..<160 where sampling.turnBegins() {
      if let carried = sampling.take(packets: UInt64(10 * turn)) {
        #expect(carried == 10)
        looks.append(turn)
      }
    }
    #expect(looks.count >= 9)
    #expect(zip(looks, looks.dropFirst()).allSatisfy { $1 - $0 == Limits.turnsPerSample })
  }

  @Test func `a sample is taken once its first byte has been sent`() {
    let arena = Arena()
    let sample = UplinkSample(arena)
    #expect(!sample.isUnderWay && sample.take(sentUpTo: .max) == nil)
    sample.begin(at: 0, 77)
    #expect(sample.isUnderWay)
    #expect(sample.take(sentUpTo: 0) == nil)
    #expect(sample.take(sentUpTo: 1) == 77)
    #expect(!sample.isUnderWay && sample.take(sentUpTo: .max) == nil)
  }

  /// Over a relay: a packet's way is measured with the clock that goes on, and every size is somewhere.
  @Test(arguments: [FirehoseCore.own, .shared]) func `a relay sorts what it does`(core: FirehoseCore) throws {
    let scene = try SessionScene(firehoseCore: core)
    let members = (0..<4).map { scene.join(shard: $0 % 2) }
    for round in 0..<200 {
      for member in members { scene.simulation.write(SimulatedClient.packet([UInt8(round)]), to: member.socket) }
      scene.simulation.settle()
    }
    func counts(_ distribution: Distribution) -> UInt64 {
      scene.simulation.parts.distributions.reduce(0) { $0 + $1.counts(distribution).buckets.reduce(0, +) }
    }
    func sum(_ distribution: Distribution) -> UInt64 {
      scene.simulation.parts.distributions.reduce(0) { $0 + $1.counts(distribution).sum }
    }
    #expect(counts(.handshakeTime) == 4)
    // Each packet, with its tag, was in some send, and of those one of sixteen is looked at.
    let all = 800 * UInt64(Wire.taggedHeader + 1)
    #expect(counts(.firehoseSendBytes) >= 200 / UInt64(Limits.sendsPerSample))
    #expect(sum(.firehoseSendBytes) > 0 && sum(.firehoseSendBytes) < all / 4)
    #expect(counts(.turnPackets) > 0 && sum(.turnPackets) <= scene.simulation[.packetsUp])
    #expect(counts(.uplinkTime) > 0)
  }
}
