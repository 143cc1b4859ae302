/// Connections that are not let in, or not let on.
extension Shard where K: ~Copyable {
  /// Closes a socket that has not become a connection.
  mutating func refuse(
    _ socket: Int32, _ reason: RefusalReason, _ address: AddressKey, _ kernel: inout K
  ) {
    tell(reason, address, &kernel)
    disappoint(socket, &kernel)
    kernel.submit(.close(socket), Token(.none))
  }

  /// Closes a connection to which the relay has sent nothing yet.
  mutating func reject(_ index: UInt32, _ reason: RefusalReason, _ kernel: inout K) {
    tell(reason, connections[index].address, &kernel)
    disappoint(connections[index].socket, &kernel)
    drop(index, &kernel)
  }

  /// Ends a connection that has the relay's key, and the client has said that it has no session yet.
  mutating func resetNewcomer(_ index: UInt32, _ reason: RefusalReason, _ kernel: inout K) {
    tell(reason, connections[index].address, &kernel)
    kernel.reset(connections[index].socket)
    drop(index, &kernel)
  }

  /// Ends a connection that has the relay's key and whose session may live: an orderly close would say that it is over.
  mutating func resetHandshake(_ index: UInt32, _ reason: RefusalReason, _ kernel: inout K) {
    tell(reason, connections[index].address, &kernel)
    refuseUnchallenged(index, &kernel)
  }

  /// Closes a connection that broke the handshake's rules.
  @inline(never)
  mutating func refuseMalformed(_ index: UInt32, _ kernel: inout K) {
    events.tally(.handshakesMalformed, .debug, by: connections[index].address.bits, &kernel)
    offend(index, &kernel)
    refuseHandshake(index, &kernel)
  }

  /// Closes a connection that is not a client's: at once where the relay has sent nothing yet.
  @inline(never)
  mutating func refuseHandshake(_ index: UInt32, _ kernel: inout K) {
    switch connections[index].phase {
    case .proxy, .version:
      disappoint(connections[index].socket, &kernel)
      drop(index, &kernel)
    default: closeGracefully(index, &kernel)
    }
  }

  /// A connection broke the protocol: an address that does so often is banned.
  mutating func offend(_ index: UInt32, _ kernel: inout K) {
    guard admission.offend(connections[index].address, connections[index].standing, now: kernel.machineNow)
    else { return }
    events.tally(.bans, .warning, by: connections[index].address.bits, &kernel)
  }

  /// Counts it by its reason.
  mutating func tell(_ reason: RefusalReason, _ address: AddressKey, _ kernel: inout K) {
    counters.add(.clientsRefused)
    events.tally(reason.metric, .warning, by: address.bits, &kernel)
  }

  /// Does what the operator wants for those to whom nothing was sent, before the close.
  private func disappoint(_ socket: Int32, _ kernel: inout K) {
    switch settings.rejection {
    case .close: break
    case .reset: kernel.reset(socket)
    case .silent: kernel.abandon(socket)
    }
  }
}
