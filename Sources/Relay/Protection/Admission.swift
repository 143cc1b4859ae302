/// What all shards share to decide which clients to admit.
struct SharedAdmission: Sendable {
  let table: AddressTable
  /// Connections of the relay.
  let clients: SharedWord
  /// Those of them that are in the handshake.
  let handshakes: SharedWord
  /// For clients that arrived over a queue that the shards share: which shard is next.
  let turns: SharedWord
  let accepts: SharedTokenBucket

  /// For that many clients. `random` provides the secrets.
  init(_ arena: Arena, clients count: Int, random: () -> UInt64) throws(RelayError) {
    table = try AddressTable(arena, clients: count, random: random)
    clients = SharedWord(arena)
    handshakes = SharedWord(arena)
    turns = SharedWord(arena)
    accepts = SharedTokenBucket(arena)
  }
}

/// What a connection counts towards.
struct Standing: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  /// It counts as a connection of the relay.
  static let placed = Standing(rawValue: 1)
  /// It is in the handshake, and its shard counts it there.
  static let handshake = Standing(rawValue: 2)
  /// Limits by address apply to it.
  static let limited = Standing(rawValue: 4)
  /// It counts in the record of its address, as a client and as one in the handshake.
  static let inAddress = Standing(rawValue: 8)
  static let handshakeInAddress = Standing(rawValue: 16)
  /// It counts in the record of its address's prefix.
  static let inPrefix = Standing(rawValue: 32)

  /// Limits by address apply to it, but the table had no place to count it.
  var isUncounted: Bool { contains(.limited) && !isSuperset(of: [.inAddress, .inPrefix]) }
}

/// Decides which clients a shard admits. Every count that a connection goes into is noted in its ``Standing``, and
/// undone by it.
struct Admission: Sendable {
  private(set) var limits: AdmissionLimits
  let shared: SharedAdmission
  private var table: AddressTable { shared.table }
  /// Connections of this shard that are in the handshake.
  private(set) var handshakes = 0

  init(_ limits: AdmissionLimits, _ shared: SharedAdmission) {
    self.limits = limits
    self.shared = shared
  }

  /// Other limits, for the connections that come from now on.
  mutating func apply(_ limits: AdmissionLimits) { self.limits = limits }

  // MARK: In and out

  /// Why there would be no room for one more connection in the handshake; nil if there is.
  var lack: RefusalReason? {
    if handshakes >= limits.handshakes { return .handshakes }
    return shared.clients.relaxed >= limits.clients ? .clients : nil
  }

  /// Counts an accepted connection that is about to begin its handshake, for the relay as a whole. Returns the reason
  /// if it is not admitted; it is then up to the caller to undo what it counts towards.
  mutating func countIn(_ standing: inout Standing, now: UInt64, grace: UInt64 = 0) -> RefusalReason? {
    guard handshakes < limits.handshakes else { return .handshakes }
    countHandshakeIn(&standing)
    standing.insert(.placed)
    guard shared.clients.add(1) <= limits.clients else { return .clients }
    if let rate = limits.acceptRate, !shared.accepts.take(rate, now: now, grace: grace) { return .acceptRate }
    return nil
  }

  /// Counts a connection by its address. Returns the reason if it is not admitted.
  mutating func admit(
    _ address: ClientAddress, _ standing: inout Standing, now: UInt64, grace: UInt64 = 0
  ) -> RefusalReason? {
    if address == .none || limits.allowed.contains(address) { return nil }
    if limits.denied.contains(address) { return .denied }
    if address.isLoopback, !limits.limitsLoopback { return nil }
    standing.insert(.limited)
    if let place = table.findOrMake(table.fingerprint(of: address.key), now: now) {
      let refusal = limits.enter(&place.record.pointee, now: now, grace: grace)
      table.unlock(place)
      if let refusal { return refusal }
      standing.insert([.inAddress, .handshakeInAddress])
    }
    if let place = table.findOrMake(table.fingerprint(ofPrefixOf: address.key), now: now) {
      let isFull = place.record.pointee.clients >= limits.clientsPerPrefix
      if !isFull { place.record.pointee.clients += 1 }
      table.unlock(place)
      if isFull {
        countOutOfAddress(address.key, &standing)
        return .prefixClients
      }
      standing.insert(.inPrefix)
    }
    return nil
  }

  /// Whether everybody behind a key is kept out by now. A list may have changed since a connection was admitted, and of
  /// that only the key is known: where a list names single addresses behind one, ``admit(_:_:now:grace:)`` has decided.
  func isDenied(_ key: AddressKey) -> Bool {
    guard let (range, _) = key.addresses else { return false }
    return limits.denied.hasAll(range) && !limits.allowed.hasAny(range)
  }

  /// A connection has left the handshake.
  mutating func countOutOfHandshake(_ address: AddressKey, _ standing: inout Standing) {
    countHandshakeOut(&standing)
    guard standing.contains(.handshakeInAddress) else { return }
    standing.remove(.handshakeInAddress)
    guard let place = table.find(table.fingerprint(of: address)) else { return }
    place.record.pointee.handshakes -= 1
    table.unlock(place)
  }

  /// A connection no longer counts towards any limit of its address.
  mutating func countOutOfAddress(_ address: AddressKey, _ standing: inout Standing) {
    countOutOfHandshake(address, &standing)
    if standing.contains(.inAddress), let place = table.find(table.fingerprint(of: address)) {
      place.record.pointee.clients -= 1
      table.unlock(place)
    }
    if standing.contains(.inPrefix), let place = table.find(table.fingerprint(ofPrefixOf: address)) {
      place.record.pointee.clients -= 1
      table.unlock(place)
    }
    standing.subtract([.inAddress, .inPrefix])
  }

  /// A connection's socket is closed: it no longer counts.
  mutating func countOut(_ address: AddressKey, _ standing: inout Standing) {
    countOutOfAddress(address, &standing)
    guard standing.contains(.placed) else { return }
    standing.remove(.placed)
    shared.clients.add(-1)
  }

  // MARK: Between shards

  /// A connection in the handshake goes to another shard, or comes from one.
  mutating func countHandshakeOut(_ standing: inout Standing) {
    guard standing.contains(.handshake) else { return }
    standing.remove(.handshake)
    handshakes -= 1
    shared.handshakes.add(-1)
  }

  mutating func countHandshakeIn(_ standing: inout Standing) {
    standing.insert(.handshake)
    handshakes += 1
    shared.handshakes.add(1)
  }

  // MARK: Offences

  /// A connection broke the protocol. True if its address is banned for that from now on.
  func offend(_ address: AddressKey, _ standing: Standing, now: UInt64) -> Bool {
    guard standing.contains(.limited), let rate = limits.banAfter,
      let place = table.findOrMake(table.fingerprint(of: address), now: now)
    else { return false }
    let isBanned = !place.record.pointee.violations.take(rate, now: now) && place.record.pointee.bannedUntil <= now
    if isBanned { place.record.pointee.bannedUntil = now &+ limits.banTime }
    table.unlock(place)
    return isBanned
  }

  /// Whether a connection may try to come back as `id`: its address has not failed too often, with this id or with any
  /// other.
  func mayReconnect(as id: UInt64, _ address: AddressKey, _ standing: Standing, now: UInt64) -> Bool {
    guard standing.contains(.limited) else { return true }
    return hasTry(table.fingerprint(of: id, at: address), limits.reconnectFailures, now)
      && hasTry(table.fingerprint(of: address), limits.reconnectFailuresPerAddress, now)
  }

  /// A connection gave a wrong response to the challenge of `id`.
  func failedReconnect(as id: UInt64, _ address: AddressKey, _ standing: Standing, now: UInt64) {
    guard standing.contains(.limited) else { return }
    countFailure(table.fingerprint(of: id, at: address), limits.reconnectFailures, now)
    countFailure(table.fingerprint(of: address), limits.reconnectFailuresPerAddress, now)
  }

  private func hasTry(_ fingerprint: AddressTable.Fingerprint, _ rate: Rate?, _ now: UInt64) -> Bool {
    guard let rate, let place = table.find(fingerprint) else { return true }
    place.record.pointee.failures.fit(rate, now: now)
    let hasTry = place.record.pointee.failures.hasToken(rate, now: now)
    table.unlock(place)
    return hasTry
  }

  private func countFailure(_ fingerprint: AddressTable.Fingerprint, _ rate: Rate?, _ now: UInt64) {
    guard let rate, let place = table.findOrMake(fingerprint, now: now) else { return }
    place.record.pointee.failures.charge(1, rate, now: now)
    table.unlock(place)
  }
}
