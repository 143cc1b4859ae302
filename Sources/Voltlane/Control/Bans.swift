import Relay
import VoltlaneSettings
import VoltlaneText

/// Networks that an operator keeps out for a while, besides those of `--deny`.
struct Bans {
  private struct Ban {
    let network: Network
    /// nil: until the relay ends.
    let end: ContinuousClock.Instant?
  }

  private var bans: [Ban] = []

  var count: Int { bans.count }
  var networks: [Network] { bans.map(\.network) }

  /// The same again changes how long it is.
  mutating func add(_ network: Network, for time: Duration?, now: ContinuousClock.Instant = .now) {
    remove(network)
    bans.append(Ban(network: network, end: time.map { now + $0 }))
  }

  /// False if there is none.
  @discardableResult
  mutating func remove(_ network: Network) -> Bool {
    let before = bans.count
    bans.removeAll { $0.network.isSame(as: network) }
    return bans.count < before
  }

  /// How long until one is over; nil if none will be.
  func wait(now: ContinuousClock.Instant = .now) -> Duration? {
    bans.compactMap(\.end).min().map { max(.zero, now.duration(to: $0)) }
  }

  /// Removes those that are over, and returns them.
  mutating func removeOver(now: ContinuousClock.Instant = .now) -> [Network] {
    let over = bans.filter { $0.end.map { $0 <= now } ?? false }
    if !over.isEmpty { bans.removeAll { ban in over.contains { $0.network.isSame(as: ban.network) } } }
    return over.map(\.network)
  }

  func list(now: ContinuousClock.Instant = .now) -> [JSON] {
    bans.map { ban in
      let left = ban.end.map { max(.zero, now.duration(to: $0)) }
      return [
        "network": .string("\(ban.network)"), "seconds_left": left.map { .integer(Int($0 / .seconds(1))) } ?? .null,
      ]
    }
  }
}
