/// Looks at one turn of sixteen: how many packets it carries, and when the packets of its first read leave for the
/// backend. In between it costs a turn a subtraction.
///
/// Invariant: `packetsBefore` is there during a turn that is looked at, and only then.
struct TurnSampling {
  private var wait = Limits.turnsPerSample
  private var packetsBefore: UInt64?
  /// When the turn that is looked at began to read, and where its packets begin in the lane; nil once they are
  /// published.
  fileprivate(set) var read: (time: UInt64, position: UInt64)?

  /// A turn begins. True if something is to be done: this one is looked at, or the last one was.
  @inline(__always)
  mutating func turnBegins() -> Bool {
    wait &-= 1
    return wait <= 0
  }

  /// Returns how many packets the last turn carried if it was the one that was looked at: nil at the beginning of one.
  mutating func take(packets: UInt64) -> UInt64? {
    if let before = packetsBefore {
      packetsBefore = nil
      wait = Limits.turnsPerSample &- 1
      return packets &- before
    }
    packetsBefore = packets
    return nil
  }
}

/// The time at which a sample of packets was read, on its way from a shard to the firehose: one at a time.
///
/// Invariant: `position` is 0 while there is none. The shard writes it last, and the firehose takes it back last.
struct UplinkSample: Sendable {
  private let position: SharedWord
  private let time: SharedWord

  init(_ arena: Arena) {
    position = SharedWord(arena)
    time = SharedWord(arena)
  }

  /// Whether the firehose still has to see the last one.
  @inline(__always) var isUnderWay: Bool { position.published != 0 }

  /// Packets from `start` on in the lane were read at `moment`. The caller has seen that none is under way.
  func begin(at start: UInt64, _ moment: UInt64) {
    time.relaxed = moment
    // Beyond its first byte, and so never 0.
    position.published = start &+ 1
  }

  /// Everything before `head` has been sent. Returns when the sample was read, if it is among that.
  @inline(__always)
  func take(sentUpTo head: UInt64) -> UInt64? {
    let end = position.published
    guard end != 0, head >= end else { return nil }
    let moment = time.relaxed
    position.published = 0
    return moment
  }
}

extension Shard where K: ~Copyable {
  /// A turn that is looked at begins, or the one after it.
  @inline(never)
  mutating func sampleTurn(_ kernel: inout K) {
    let carried = sampling.take(packets: counters[.packetsUp] &+ counters[.packetsDown])
    if let carried {
      sampling.read = nil
      if carried > 0 { distributions.add(.turnPackets, carried) }
    } else if !uplink.sample.isUnderWay {
      sampling.read = (kernel.moment(), uplink.position)
    }
  }

  /// The first packets of a turn that is looked at are about to be published.
  @inline(never)
  mutating func publishSample() {
    guard let read = sampling.read, uplink.position != read.position else { return }
    sampling.read = nil
    uplink.sample.begin(at: read.position, read.time)
  }
}
