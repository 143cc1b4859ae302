import CLinux

/// How the relay finds silent connections dead in time where the kernel alone would not.
///
/// Linux has one clock for whatever is not answered. If TCP_USER_TIMEOUT is set, it also decides when the probes of a
/// silent connection have been unanswered for long enough, and their number does not count: with `--keepalive 2s` and
/// `--tcp-user-timeout 60s` a dead client would be given up after a minute, and with 8 s and 2 s at the first lost
/// probe. So a shard goes through its connections. One that leaves a probe unanswered, and has nothing outstanding to
/// which the user timeout applies, gets the time of keepalive; as soon as that is no longer so, it gets the user
/// timeout back. The kernel still sends the probes and ends the connection.
///
/// Most pairs of values, among them the defaults, need none of this: their user timeout runs out with the last probe.
struct KeepaliveWatch: BitwiseCopyable {
  /// Milliseconds of silence after which a connection is dead, and for which data may stay unacknowledged.
  let silence: UInt32
  let userTimeout: UInt32
  /// How long one round through the connections takes, in nanoseconds; nil where there need be none. Two rounds fall
  /// between two probes: the first that is not answered is seen before the kernel draws its conclusion.
  let round: UInt64?

  /// For seconds of silence until the first probe, and a user timeout in milliseconds; 0 where there is none.
  init(keepalive: Int32, userTimeout: UInt32) {
    let probes = voltlane_keepalive_probes(keepalive)
    self.userTimeout = userTimeout
    guard keepalive > 0, userTimeout > 0 else {
      (silence, round) = (0, nil)
      return
    }
    let last = UInt32(keepalive + probes.count * probes.interval) * 1000
    let interval = UInt32(probes.interval) * 1000
    // Half an interval less, so that it is over for sure when the kernel looks.
    silence = last - interval / 2
    round = (last - interval + 1...last).contains(userTimeout) ? nil : UInt64(interval) * Limits.millisecond / 2
  }
}

/// Where a shard is in the round through its connections.
struct KeepaliveRound {
  /// When the next connections are looked at; `.max` where none are.
  private(set) var due: UInt64 = .max
  /// The first of those.
  private var next: UInt32 = 0

  /// There are connections to look at, one round after now.
  mutating func begin(_ round: UInt64, now: UInt64) {
    if due == .max { due = now &+ round }
  }

  /// The connections to be looked at now, of the first `used`. The next ones are due once their part of the round is
  /// over.
  mutating func advance(_ round: UInt64, used: UInt32, now: UInt64) -> Range<UInt32> {
    let start = next
    let end = min(start &+ Limits.watchedAtOnce, used)
    next = end < used ? end : 0
    due = now &+ round / UInt64((used + Limits.watchedAtOnce - 1) / Limits.watchedAtOnce)
    return start..<end
  }

  /// There are none any more.
  mutating func end() { due = .max }
}

extension Shard where K: ~Copyable {
  /// A connection came: it is to be looked at from now on.
  mutating func beginWatch(_ kernel: borrowing K) {
    if let round = settings.keepalive.round { keepaliveRound.begin(round, now: kernel.now) }
  }

  /// Looks at some of the connections. A round is divided so that no turn is long.
  mutating func watch(_ kernel: inout K) {
    guard let round = settings.keepalive.round, connections.count > 0 else {
      return keepaliveRound.end()
    }
    for index in keepaliveRound.advance(round, used: connections.used, now: kernel.now)
    where connections[index].phase.hasSocket {
      kernel.setUserTimeout(
        connections[index].socket, settings.keepalive.userTimeout, unanswered: settings.keepalive.silence)
    }
  }
}
