import Glibc

/// The sweep: every connection except the relay's first begins with one 0x03 for each live session, so that a restarted
/// backend knows which clients it has. The firehose asks the shards, and sends their answers before anything that waits
/// in the lanes.
extension Firehose where K: ~Copyable {
  enum Sweep {
    case none
    /// The shards have been asked, and not all have answered.
    case asking
    case sending
  }

  @inline(never)
  mutating func beginSweep(_ kernel: inout K) {
    sweep = .asking
    sweepRequest += 1
    for lane in 0..<lanes.count { lanes[lane].sweep.requests.published = sweepRequest }
    wakeShards(&kernel)
  }

  /// Continues the sweep. True once it is over, so that other packets may follow.
  @inline(never)
  mutating func announce(_ kernel: inout K) -> Bool {
    if sweep == .asking, takeAnswers() {
      sweep = .sending
      sweepLane = 0
      sweepOffset = 0
      // A shard had no memory for its answer: the next connection may find some.
      for lane in 0..<lanes.count where lanes[lane].announcement?.hasFailed == true {
        sendFailed(ENOMEM)
        return false
      }
    }
    guard sweep == .sending else { return false }
    while sweepLane < lanes.count {
      if let rest = lanes[sweepLane].announcement?.rest(from: sweepOffset), rest.iov_len > 0 {
        let sent = kernel.send(socket, rest.iov_base, rest.iov_len)
        if sent < 0, NoBytes(sent) == .broken {
          sendFailed(Int32(-sent))
          return false
        }
        sweepOffset += max(0, sent)
        if sent < rest.iov_len {
          awaitRoom(&kernel)
          return false
        }
      }
      sweepLane += 1
      sweepOffset = 0
    }
    endSweep()
    return true
  }

  /// Whether every shard has answered. Answers to an earlier connection's request are discarded.
  private mutating func takeAnswers() -> Bool {
    var complete = true
    for lane in 0..<lanes.count {
      while let answer = lanes[lane].sweepAnswers.pop() {
        guard answer.request == sweepRequest else {
          answer.free()
          continue
        }
        lanes[lane].announcement = answer
      }
      if lanes[lane].announcement == nil { complete = false }
    }
    return complete
  }

  @inline(never)
  mutating func endSweep() {
    guard sweep != .none else { return }
    sweep = .none
    for lane in 0..<lanes.count {
      lanes[lane].announcement?.free()
      lanes[lane].announcement = nil
    }
  }

  /// Frees what the shards have answered. For when no host is left.
  mutating func discardAnswers() {
    endSweep()
    for lane in 0..<lanes.count {
      while let answer = lanes[lane].sweepAnswers.pop() { answer.free() }
    }
  }
}
