import NIOCore
import Relay
import Synchronization

/// The connections of the admin endpoint: who may have one, and who gives way where there are too many.
///
/// Invariant: there are at most ``AdminLimits/connections``, and each is here from its start to its end.
final class AdminVisitors: Sendable {
  /// Who may connect.
  private let allowed: [Network]
  private let isLocalSocket: Bool
  let desk: AdminDesk
  private let state = Mutex(State())

  private struct State {
    var visits: [ObjectIdentifier: Visit] = [:]
    /// Counts what happens, so that the connection that was used longest ago is known.
    var clock: UInt64 = 0
  }

  private struct Visit {
    let channel: any Channel
    var isBusy = false
    var lastUsed: UInt64
  }

  /// `allowed`: where nobody is named, only this machine's own may connect, wherever the endpoint's name leads.
  init(allowed: [Network], isLocalSocket: Bool, desk: AdminDesk) {
    self.allowed = allowed.isEmpty ? AdminConfiguration.loopback : allowed
    self.isLocalSocket = isLocalSocket
    self.desk = desk
  }

  /// Whether a new connection may stay. If there are too many, it takes the place of one that is idle; one that is
  /// being answered keeps its place.
  func admits(_ channel: any Channel) -> Bool {
    guard isAllowed(channel.remoteAddress) else {
      desk.count(.forbidden)
      return false
    }
    let (isAdmitted, evicted) = state.withLock { state -> (Bool, (any Channel)?) in
      state.clock += 1
      var evicted: (any Channel)?
      if state.visits.count >= AdminLimits.connections {
        let idle = state.visits.filter { !$0.value.isBusy }
        guard let oldest = idle.min(by: { $0.value.lastUsed < $1.value.lastUsed }) else { return (false, nil) }
        state.visits[oldest.key] = nil
        evicted = oldest.value.channel
      }
      state.visits[ObjectIdentifier(channel)] = Visit(channel: channel, lastUsed: state.clock)
      return (true, evicted)
    }
    if evicted != nil || !isAdmitted { desk.count(.crowded) }
    evicted?.close(promise: nil)
    return isAdmitted
  }

  /// A connection has begun or finished to be answered.
  func note(_ channel: any Channel, isBusy: Bool) {
    state.withLock { state in
      state.clock += 1
      state.visits[ObjectIdentifier(channel)]?.isBusy = isBusy
      state.visits[ObjectIdentifier(channel)]?.lastUsed = state.clock
    }
  }

  func leave(_ channel: any Channel) {
    _ = state.withLock { $0.visits.removeValue(forKey: ObjectIdentifier(channel)) }
  }

  func isAllowed(_ address: SocketAddress?) -> Bool {
    // It has its permissions.
    if isLocalSocket { return true }
    // One that has gone already has no address.
    guard let text = address?.ipAddress else { return false }
    // An address of a link is followed by the link's name.
    guard let network = try? Network(String(text.prefix { $0 != "%" })) else { return false }
    return Network.cover(allowed, [network])
  }
}
