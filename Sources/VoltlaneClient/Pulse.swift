import NIOCore

/// When a heartbeat is due, and when its answer is overdue. No I/O, and no clock of its own.
struct Pulse {
  enum Step: Equatable {
    case wait, send, dead
  }

  private let interval: TimeAmount
  private let answerWithin: TimeAmount?
  private var lastHeard: NIODeadline
  /// The first heartbeat since something was heard, and the latest one.
  private var asked: (first: NIODeadline, last: NIODeadline)?

  init(_ heartbeat: ClientOptions.Heartbeat, now: NIODeadline) {
    interval = TimeAmount(heartbeat.interval)
    answerWithin = heartbeat.answerWithin.map { TimeAmount($0) }
    lastHeard = now
  }

  /// Something has arrived, of whatever kind.
  mutating func heard(_ now: NIODeadline) {
    lastHeard = now
    asked = nil
  }

  /// What to do now.
  mutating func step(_ now: NIODeadline) -> Step {
    if let asked, let answerWithin, now >= asked.first + answerWithin { return .dead }
    guard now >= (asked?.last ?? lastHeard) + interval else { return .wait }
    asked = (asked?.first ?? now, now)
    return .send
  }

  /// When there may be something to do next.
  var next: NIODeadline {
    let due = (asked?.last ?? lastHeard) + interval
    guard let asked, let answerWithin else { return due }
    return min(due, asked.first + answerWithin)
  }
}
