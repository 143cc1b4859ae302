/// Decides before each wait whether the thread should wait a little longer, so that one wake-up serves several sockets.
///
/// A wake-up costs more than the packet that it is for. If packets arrive one by one from many clients, waiting for
/// ``time`` halves the cost of a packet. If the thread never sleeps anyway, waiting gains nothing, and clients that
/// wait for an answer before they send again would only get it later. So the traffic is first watched without waiting,
/// then waiting is tried, and if fewer clients send because of it, the traffic is left alone for a while.
///
/// Units: times are nanoseconds of the kernel's clock.
struct Coalescing {
  /// The longest wait for more; 0: never wait.
  let time: UInt64

  private enum Phase {
    case watching
    case waiting
    /// Fewer clients sent than before: either waiting slowed them down, or there are fewer. A sample without waiting
    /// tells.
    case doubting
    /// Waiting has cost throughput: do not try again before the phase ends.
    case leftAlone
  }

  private var phase = Phase.watching
  private var phaseEnds: UInt64 = .max
  private var rest = Limits.coalescingRestFirst
  /// Of the current sample.
  private var sampleBegan: UInt64 = 0
  private var waits: UInt64 = 0
  private var idleWaits: UInt64 = 0
  private var reads: UInt64 = 0
  /// Reads a second of the last sample with waiting.
  private var rateWith: UInt64 = 0
  /// Reads a second before there was any waiting.
  private var rateWithout: UInt64 = 0

  init(time: UInt64) { self.time = time }

  /// Called before each wait. `reaped`: completions that the last one brought; `reads`: those that say that a client
  /// can be read. `isIdle`: there is nothing to do yet, so the thread would sleep.
  @inline(__always)
  mutating func waitsForMore(reaped: Int, reads: Int, isIdle: Bool, now: UInt64) -> Bool {
    guard time > 0 else { return false }
    waits &+= 1
    self.reads &+= UInt64(truncatingIfNeeded: reads)
    if isIdle { idleWaits &+= 1 }
    if waits == Limits.coalescingSample { judge(now) }
    // One completion at a time means a lone client, or the lone backend: there is nothing to wait for.
    return phase == .waiting && reaped > 1
  }

  /// Draws a conclusion from a sample, and begins the next one.
  @inline(never)
  private mutating func judge(_ now: UInt64) {
    let rate = reads &* Limits.second / max(1, now &- sampleBegan)
    switch phase {
    case .doubting where rateWith < rate / 4 &* 3:
      phase = .leftAlone
      phaseEnds = now &+ rest
      rest = min(rest &* 2, Limits.coalescingRestLongest)
    case .watching, .doubting:
      let pays = idleWaits >= waits / 2 && rate >= Limits.second / (Limits.coalescingRarest &* time)
      phase = pays ? .waiting : .watching
      rateWithout = rate
      phaseEnds = now &+ Limits.coalescingPeriod
    case .waiting:
      rateWith = rate
      if rate < rateWithout / 4 &* 3 {
        phase = .doubting
      } else if now >= phaseEnds {
        phase = .watching
        rest = Limits.coalescingRestFirst
      }
    case .leftAlone:
      if now >= phaseEnds { phase = .watching }
    }
    sampleBegan = now
    waits = 0
    idleWaits = 0
    reads = 0
  }
}
