import VoltlaneCrypto
import VoltlaneWire

/// Connections that are refused: they do not become clients, and the reason is counted.
///
/// What a refused client may be told depends on what it has said. An orderly close says, to a client that wants its
/// session back and has no challenge yet, that the session is over; a reset says so to anyone behind a proxy, and on a
/// unix socket. The relay's key tells nothing, and a challenge, even the beginning of one, that the session lives.
extension Shard where K: ~Copyable {
  /// Refuses a socket that has not become a connection.
  mutating func refuse(
    socket: Int32, _ reason: RefusalReason, _ address: AddressKey, _ kernel: inout K
  ) {
    noteRefusal(reason, address, &kernel)
    applyRejectionPolicy(socket, &kernel)
    kernel.submit(.close(socket), Token(.none))
  }

  /// Refuses a connection that has no session.
  @inline(never)
  mutating func refuse(_ index: UInt32, _ reason: RefusalReason, _ kernel: inout K) {
    noteRefusal(reason, connections[index].address, &kernel)
    switch connections[index].phase {
    case .proxy, .version:
      applyRejectionPolicy(connections[index].socket, &kernel)
      abort(index, &kernel)
    case .key, .sealing: refuseUnchallenged(index, &kernel)
    default: close(index, &kernel)
    }
  }

  /// Refuses a connection that has the relay's key, and whose client has said that it has no session yet.
  mutating func refuseNewcomer(_ index: UInt32, _ reason: RefusalReason, _ kernel: inout K) {
    noteRefusal(reason, connections[index].address, &kernel)
    reset(index, &kernel)
  }

  /// Refuses a connection that has sent its client id, or may have, and has no challenge yet: where the challenge is
  /// being sealed, it is closed behind that; where the id may still be on its way, within the beginning of a challenge.
  /// `atOnce`: the challenge that is being sealed is not waited for.
  @inline(never)
  mutating func refuseUnchallenged(_ index: UInt32, atOnce: Bool = false, _ kernel: inout K) {
    let isSealing = connections[index].phase == .sealing
    if isSealing, !atOnce {
      connections[index].flags.insert(.refused)
      return discardUnfinished(index)
    }
    // If something waits for room in the socket, the stream is in the middle of a packet already.
    if isSealing || connections[index].phase == .key, connections[index].pending.isEmpty {
      beginChallenge(connections[index].socket, &kernel)
    }
    reset(index, &kernel)
  }

  /// Sends the beginning of a challenge that nobody seals: it costs no cryptography, and opens for nobody.
  func beginChallenge(_ socket: Int32, _ kernel: inout K) {
    let challenge = gather.place(.challenge(SealedBox.Bytes(repeating: 0).span.bytes))
    _ = kernel.send(socket, challenge, Wire.sizePrefix)
  }

  /// Closes a connection that broke the handshake's rules.
  @inline(never)
  mutating func refuseMalformed(_ index: UInt32, _ kernel: inout K) {
    events.tally(.handshakesMalformed, .debug, by: connections[index].address.bits, &kernel)
    noteOffence(index, &kernel)
    closeHandshake(index, &kernel)
  }

  /// Closes a connection that is not a client's: at once where the relay has sent nothing yet.
  @inline(never)
  mutating func closeHandshake(_ index: UInt32, _ kernel: inout K) {
    switch connections[index].phase {
    case .proxy, .version:
      applyRejectionPolicy(connections[index].socket, &kernel)
      abort(index, &kernel)
    default: close(index, &kernel)
    }
  }

  /// A connection broke the protocol: an address that does so often is banned.
  mutating func noteOffence(_ index: UInt32, _ kernel: inout K) {
    let address = connections[index].address
    guard admission.offend(address, connections[index].standing, now: kernel.machineNow) else { return }
    events.tally(.bans, .warning, by: address.bits, &kernel)
  }

  /// Counts a refusal by its reason.
  mutating func noteRefusal(_ reason: RefusalReason, _ address: AddressKey, _ kernel: inout K) {
    counters.add(.clientsRefused)
    remember(reason, address, kernel)
    events.tally(reason.metric, .warning, by: address.bits, &kernel)
  }

  /// Does what `--reject` says with refused sockets to which nothing was sent, before the close.
  private func applyRejectionPolicy(_ socket: Int32, _ kernel: inout K) {
    switch settings.rejection {
    case .close: break
    case .reset: kernel.reset(socket)
    case .silent: kernel.abandon(socket)
    }
  }
}
