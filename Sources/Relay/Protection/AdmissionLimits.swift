/// The limits of ``Admission``, the same for all shards. A count without a limit is the largest number; times are in
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

  /// Whether a connection from there belongs to a load balancer, which first says who the client is.
  func trustsAsProxy(_ address: ClientAddress) -> Bool {
    address == .none ? trustsUnixProxies : proxies.contains(address)
  }

  /// Whether any connection that counts as the same address as this one, which is refused, would be refused as well:
  /// lists may name single addresses of a /64.
  func refusesAll(alike address: ClientAddress, _ reason: RefusalReason) -> Bool {
    let all = address.alike
    return !allowed.hasAny(all) && !proxies.hasAny(all) && (reason != .denied || denied.hasAll(all))
  }

  /// Counts a connection that begins the handshake in the record of its address, if its limits allow that.
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
