import Glibc

/// What can be seen of a backend that stands: whether its kernel acknowledges, and how long it leaves bytes untaken. A
/// backend that has stopped is alive for its kernel, which acknowledges until its buffer is full and then keeps the
/// window closed for as long as it likes.
extension Firehose where K: ~Copyable {
  /// Looks again in a second, or sooner where the backend's time is short.
  mutating func watchBackend(_ now: UInt64) {
    silenceCheck = now + min(Limits.backendWatch, settings.backendTimeout / 8)
  }

  @inline(never)
  mutating func watchBackend(_ kernel: inout K) {
    watchBackend(kernel.now)
    checkSilence(&kernel)
    if state == .connected { checkBacklog(&kernel) }
  }

  /// Keepalive does not notice a dead backend while data is outstanding, and a backend that is slow but alive
  /// acknowledges: silence is measured by acknowledgements. It counts from when one was first seen to be owed: the last
  /// one may be older by far, where there was nothing to acknowledge.
  private mutating func checkSilence(_ kernel: inout K) {
    let silence = state == .connected ? kernel.silence(socket) : 0
    guard silence > 0 else {
      silentSince = .max
      return
    }
    silentSince = min(kernel.now, silentSince)
    silentSince = max(silentSince, kernel.now - min(kernel.now, silence))
    guard kernel.now - silentSince >= settings.backendTimeout else { return }
    lose(ETIMEDOUT, &kernel)
  }

  /// A unix socket does not tell what was taken of it: there it is the time since anything moved.
  private mutating func checkBacklog(_ kernel: inout K) {
    let backlog = kernel.backlog(socket)
    if let taken = backlog.taken {
      behind.take(upTo: taken)
      if backlog.waiting > 0 { behind.send(upTo: taken &+ UInt64(backlog.waiting), kernel.now) }
    } else {
      let moved = handedOver() &+ UInt64(backlog.waiting)
      if backlog.waiting == 0 || !behind.ends(at: moved) { behind.take(upTo: .max) }
      if backlog.waiting > 0 { behind.send(upTo: moved, kernel.now) }
    }
    let age = behind.age(kernel.now)
    counters.set(.backendBehindMilliseconds, age / Limits.millisecond)
    if age >= nextBehindEvent {
      events.post(.backendBehind(age: age), &kernel)
      toldBehind = age
      while nextBehindEvent <= age { nextBehindEvent *= 2 }
    } else if toldBehind > 0, age < Limits.backendBehindFirst {
      events.post(.backendCaughtUp(age: toldBehind), &kernel)
      forgetBehind()
    }
  }

  mutating func forgetBehind() {
    behind = UntakenBytes()
    nextBehindEvent = Limits.backendBehindFirst
    toldBehind = 0
    counters.set(.backendBehindMilliseconds, 0)
  }

  /// Something that grows with what the lanes have handed over.
  private mutating func handedOver() -> UInt64 {
    var sum: UInt64 = 0
    for lane in 0..<lanes.count {
      sum &+= lanes[lane].uplink.headPosition &+ UInt64(lanes[lane].uplink.handed)
    }
    return sum
  }
}
