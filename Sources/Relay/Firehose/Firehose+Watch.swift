import Glibc

/// What can be seen of a connected backend: whether its kernel acknowledges, and how long bytes stay untaken. A backend
/// process that has stopped looks alive from here: its kernel acknowledges until its buffer is full, and then keeps the
/// window closed for as long as the process is stopped.
extension Firehose where K: ~Copyable {
  /// Schedules the next check: in a second, or sooner if `--backend-timeout` is short.
  mutating func watchBackend(_ now: UInt64) {
    silenceCheck = now + min(Limits.backendWatch, settings.backendTimeout / 8)
  }

  @inline(never)
  mutating func watchBackend(_ kernel: inout K) {
    watchBackend(kernel.now)
    checkSilence(&kernel)
    if state == .connected { checkBacklog(&kernel) }
  }

  /// Measures silence by acknowledgements: keepalive does not notice a dead backend while data is outstanding, and a
  /// backend that is slow but alive acknowledges. Silence counts from the moment at which an acknowledgement was first
  /// seen to be owed, because the last one may be much older if there was nothing to acknowledge.
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

  /// A unix socket does not say how much was taken from it. There the age is the time since anything moved.
  private mutating func checkBacklog(_ kernel: inout K) {
    let backlog = kernel.backlog(socket)
    if let taken = backlog.taken {
      behind.acknowledge(upTo: taken)
      if backlog.waiting > 0 { behind.send(upTo: taken &+ UInt64(backlog.waiting), kernel.now) }
    } else {
      let moved = sentFromLanes() &+ UInt64(backlog.waiting)
      if backlog.waiting == 0 || !behind.ends(at: moved) { behind.acknowledge(upTo: .max) }
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

  /// A number that grows with every byte that is sent from the lanes.
  private mutating func sentFromLanes() -> UInt64 {
    var sum: UInt64 = 0
    for lane in 0..<lanes.count {
      sum &+= lanes[lane].uplink.headPosition &+ UInt64(lanes[lane].uplink.sentOfHead)
    }
    return sum
  }
}
