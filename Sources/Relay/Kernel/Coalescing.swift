/// Decides before each wait whether the thread waits a little for more, so that one wake-up serves several sockets.
///
/// A wake-up costs more than the packet that it is for. Where packets come one by one from many, waiting for ``time``
/// halves what a packet costs; where the thread never sleeps anyway it gains nothing, and clients that wait for an
/// answer before they send again would only get it later. So the traffic is watched without waiting, then tried with
/// it, and where fewer clients sent for that, left alone for a while.
///
/// Units: times are nanoseconds of the kernel's clock.
struct Coalescing {
  /// The longest wait for more; 0: there is none.
  let time: UInt64

  private enum Phase {
    case watching
    case waiting
    /// Fewer clients sent than without: the waiting's doing, or they have become fewer. A sample without it tells.
    case doubting
    /// Waiting has cost throughput: not again before the phase ends.
    case leftAlone
  }

  private var phase = Phase.watching
  private var phaseEnds: UInt64 = .max
  private var rest = Limits.coalescingRestFirst
  /// Of the sample that is being taken.
  private var sampleBegan: UInt64 = 0
  private var waits: UInt64 = 0
  private var idleWaits: UInt64 = 0
  private var reads: UInt64 = 0
  /// Reads a second of the last sample with waiting.
  private var rateWith: UInt64 = 0
  /// Reads a second before there was any waiting.
  private var rateWithout: UInt64 = 0

  init(time: UInt64) { self.time = time }

  /// Called before each wait. `reaped`: completions that the last one brought; `reads`: those of them that say that a
  /// client can be read. `isIdle`: there is nothing to take yet, so that the thread would sleep.
  @inline(__always)
  mutating func waitsForMore(reaped: Int, reads: Int, isIdle: Bool, now: UInt64) -> Bool {
    guard time > 0 else { return false }
    waits &+= 1
    self.reads &+= UInt64(truncatingIfNeeded: reads)
    if isIdle { idleWaits &+= 1 }
    if waits == Limits.coalescingSample { judge(now) }
    // One completion at a time is a lone client, or the lone backend: nothing to wait for.
    return phase == .waiting && reaped > 1
  }

  /// Draws the conclusion from a sample, and begins the next one.
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
