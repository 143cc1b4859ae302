/// The limits of ``Admission``; all shards have the same. A count that is not limited is the largest; times are
/// nanoseconds.
final class AdmissionLimits: Sendable {
  let clients: UInt64
  let clientsPerAddress: UInt32
  let clientsPerPrefix: UInt32
  let acceptRate: Rate?
  let acceptRatePerAddress: Rate?
  /// Of each shard.
  let handshakes: Int
  let handshakesPerAddress: UInt32
  let banAfter: Rate?
  let banTime: UInt64
  let reconnectFailures: Rate?
  let reconnectFailuresPerAddress: Rate?
  let allowed: NetworkList
  let denied: NetworkList
  let limitsLoopback: Bool
  private let proxies: NetworkList
  private let trustsUnixProxies: Bool

  init(_ configuration: ProtectionConfiguration) {
    func count<Count: FixedWidthInteger>(_ limit: Int?) -> Count { limit.map { Count(clamping: $0) } ?? .max }
    clients = count(configuration.maxClients)
    clientsPerAddress = count(configuration.maxClientsPerAddress)
    clientsPerPrefix = count(configuration.maxClientsPerPrefix)
    acceptRate = configuration.acceptRate
    acceptRatePerAddress = configuration.acceptRatePerAddress
    handshakes = count(configuration.maxPendingHandshakes)
    handshakesPerAddress = count(configuration.maxPendingHandshakesPerAddress)
    banAfter = configuration.banAfter
    banTime = configuration.banTime.nanoseconds
    reconnectFailures = configuration.reconnectFailures
    reconnectFailuresPerAddress = configuration.reconnectFailuresPerAddress
    allowed = NetworkList(configuration.allowed)
    denied = NetworkList(configuration.denied)
    limitsLoopback = configuration.limitsLoopback
    proxies = NetworkList(configuration.proxies)
    trustsUnixProxies = configuration.trustsUnixProxies
  }

  /// Whether a connection from there is a load balancer's, which says first whose it is.
  func trustsAsProxy(_ address: ClientAddress) -> Bool {
    address == .none ? trustsUnixProxies : proxies.contains(address)
  }

  /// Whether whoever counts as one address with this one, which is refused, would be refused as well: lists may have
  /// single addresses of a /64.
  func refusesAll(alike address: ClientAddress, _ reason: RefusalReason) -> Bool {
    let all = address.alike
    return !allowed.hasAny(all) && !proxies.hasAny(all) && (reason != .denied || denied.hasAll(all))
  }

  /// Counts a connection that begins to shake hands in the record of its address, where that allows it.
  func enter(_ record: inout AddressRecord, now: UInt64, grace: UInt64) -> RefusalReason? {
    if record.bannedUntil > now { return .banned }
    if record.clients >= clientsPerAddress { return .addressClients }
    if record.handshakes >= handshakesPerAddress { return .addressHandshakes }
    if let rate = acceptRatePerAddress, !record.accepts.take(rate, now: now, grace: grace) { return .addressAcceptRate }
    record.clients += 1
    record.handshakes += 1
    return nil
  }
}
