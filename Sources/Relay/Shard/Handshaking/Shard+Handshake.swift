import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// The client handshake, version 2, for a new client:
///
///     client -> relay   protocol version 2
///     relay  -> client  the relay's public key
///     client -> relay   the client's public key         checked by a worker
///     relay  -> client  client id                       the session is born
///
/// Packets may come split or joined at any byte, with application data behind the key in the same read.
extension Shard where K: ~Copyable {
  /// Reads a connection that is in the handshake: a little at a time, because what follows the key has to be kept.
  @inline(never)
  mutating func readHandshake(_ index: UInt32, _ kernel: inout K) {
    // What is kept counts, and may be too much for the budget.
    defer { unfinishedGrew(&kernel) }
    guard !connections[index].queue.isForWorker else { return }
    if connections[index].phase == .response, !workers.hasRoom {
      return park(index, .parkedReturning, kernel)
    }
    let start = readBuffer.start
    let count = restoreKept(index)
    if connections[index].flags.contains(.keepsPacket) {
      connections[index].flags.remove(.keepsPacket)
      return readHandshakePackets(index, count, &kernel)
    }
    let received = kernel.receive(connections[index].socket, start + count, Limits.handshakeRead)
    guard received > 0 else {
      // What the client said before its FIN counts, even if the relay's own packets have turned the FIN into a reset.
      let hasFinished = received == 0 || received == -Int(EPIPE)
      switch hasFinished ? .wouldBlock : NoBytes(received) {
      case .wouldBlock: break
      case .later: markReady(index)
      case .broken: return abort(index, &kernel)
      }
      // What is kept may be whole packets that waited for a worker.
      readHandshakePackets(index, count, &kernel)
      if hasFinished { handshakeFinished(index, &kernel) }
      return
    }
    if received == Limits.handshakeRead || connections[index].flags.contains(.hungUp) {
      markReady(index)
    }
    readHandshakePackets(index, count &+ received, &kernel)
  }

  /// The client's FIN came within the handshake. If it is the relay's turn to speak, what the client said before is
  /// still handled, and the FIN is found again after it. If it is the client's turn, nothing will ever come, and the
  /// connection is aborted.
  private mutating func handshakeFinished(_ index: UInt32, _ kernel: inout K) {
    guard !connections[index].flags.contains(.keepsPacket) else { return }
    switch connections[index].phase {
    case .version, .key, .response, .ping: abort(index, &kernel)
    default: break
    }
  }

  private mutating func readHandshakePackets(
    _ index: UInt32, _ count: Int, _ kernel: inout K
  ) {
    let bytes = readBuffer.span(count)
    var offset = 0
    while count &- offset >= Wire.sizePrefix {
      let size = Int(bytes.littleEndianUInt32(at: offset))
      guard size <= Wire.maxHandshakePacket else { return refuseMalformed(index, &kernel) }
      guard count &- offset &- Wire.sizePrefix >= size else { break }
      let start = offset
      let data = offset &+ Wire.sizePrefix
      offset = data &+ size
      let packet: HandshakePacket
      do {
        packet = try HandshakePacket.decode(bytes.extracting(data..<offset))
      } catch {
        return refuseMalformed(index, &kernel)
      }
      switch (connections[index].phase, packet) {
      case (.version, .protocolVersion(Wire.protocolVersion)):
        enter(.key, index)
        guard sendHandshake(index, keyPacket, &kernel) else { return }
      // Clients that come back are let in: their sessions hold memory even without a connection.
      case (.key, .publicKey) where memory.gauge.isTight:
        return refuseNewcomer(index, .memory, &kernel)
      case (.key, .publicKey) where !workers.hasRoom:
        guard keepHandshakeBytes(index, start..<count, &kernel) else { return }
        connections[index].flags.insert(.keepsPacket)
        return park(index, .parkedNew, kernel)
      case (.key, .clientID) where !workers.hasRoom:
        guard keepHandshakeBytes(index, start..<count, &kernel) else { return }
        connections[index].flags.insert(.keepsPacket)
        return park(index, .parkedReturning, kernel)
      case (.key, .clientID(let id)) where !canHandOver(to: id):
        // The other shard empties the lane in its next turn: until then this connection is tried again.
        guard keepHandshakeBytes(index, start..<count, &kernel) else { return }
        connections[index].flags.insert(.keepsPacket)
        return markReady(index)
      case (.key, .publicKey(let field)):
        let point = (data &+ field.lowerBound)..<(data &+ field.upperBound)
        guard keepHandshakeBytes(index, offset..<count, &kernel) else { return }
        return verify(index, bytes.extracting(point), &kernel)
      case (.key, .clientID(let id)):
        guard keepHandshakeBytes(index, offset..<count, &kernel) else { return }
        return reconnect(index, id, &kernel)
      case (.response, .challengeResponse(let field)):
        let box = SealedBox.Bytes { bytes.byte(at: data &+ field.lowerBound &+ $0) }
        guard keepHandshakeBytes(index, offset..<count, &kernel) else { return }
        return responseCame(index, box, &kernel)
      case (.ping, .ping):
        guard keepHandshakeBytes(index, offset..<count, &kernel) else { return }
        return pingCame(index)
      // Any other packet, or one at the wrong time.
      case (_, .ping), (_, .protocolVersion), (_, .publicKey), (_, .clientID), (_, .challenge), (_, .challengeResponse):
        return refuseMalformed(index, &kernel)
      }
    }
    _ = keepHandshakeBytes(index, offset..<count, &kernel)
  }

  /// Keeps what arrived in part, or after the key: at most one packet and one read, whatever a packet declares. False
  /// if there is no memory for it; the connection has then been ended.
  mutating func keepHandshakeBytes(
    _ index: UInt32, _ range: Range<Int>, _ kernel: inout K
  ) -> Bool {
    guard !range.isEmpty else { return true }
    let buffer = PacketBuffer(
      copying: readBuffer.start + range.lowerBound, range.count,
      capacity: max(range.count, Limits.firstUnfinishedCapacity), unfinished.budget)
    guard let buffer else {
      evict(index, over: .systemMemory, &kernel)
      return false
    }
    connections[index].unfinished = buffer
    unfinished.update(index, connections.slots)
    return true
  }

  private mutating func verify(_ index: UInt32, _ point: RawSpan, _ kernel: inout K) {
    enter(.verifying, index)
    var bytes = InlineArray<65, UInt8>(repeating: 0)
    for offset in 0..<point.byteCount { bytes[offset] = point.byte(at: offset) }
    submit(index, .checkKey(point: bytes, count: UInt8(point.byteCount)), kernel)
  }

  /// Gives a worker a job for a connection. Its clock stands still, and nothing more is read of it, until the answer.
  mutating func submit(_ index: UInt32, _ task: HandshakeJob.Task, _ kernel: borrowing K) {
    stopClock(index, kernel)
    workers.submit(HandshakeJob(connection: connections.token(.clientReadable, index), task: task))
  }

  /// Handles the workers' results.
  @inline(never)
  mutating func takeHandshakeResults(_ kernel: inout K) {
    for worker in 0..<workers.count {
      while let result = workers.takeResult(of: worker) {
        switch result.answer {
        case .key(let key): verified(result.connection, key, &kernel)
        case .sealed(let box, let key): challengeSealed(result.connection, box, key, &kernel)
        case .noMemory: challengeNotSealed(result.connection, &kernel)
        case .opened(let isRight): responseOpened(result.connection, isRight, &kernel)
        }
      }
    }
    unpark(&kernel)
  }

  // MARK: Waiting for a worker

  /// Parks a handshake until a worker is free. Its clock stands still until then.
  mutating func park(
    _ index: UInt32, _ queue: ConnectionQueue.Kind, _ kernel: borrowing K
  ) {
    stopClock(index, kernel)
    queues.move(index, to: queue, connections)
  }

  /// Unparks as many handshakes as the workers have room for: first those of clients that come back.
  private mutating func unpark(_ kernel: inout K) {
    var room = workers.room()
    while room > 0, let index = queues.parkedReturning.first ?? queues.parkedNew.first {
      // What is kept of one in `key` is a whole packet: its client owes nothing.
      queues.move(index, to: connections[index].phase == .response ? .challenged : .none, connections)
      resumeClock(index, kernel)
      markReady(index)
      room -= 1
    }
  }

  // MARK: The clock

  /// How much time is left for the handshake.
  func timeLeft(_ index: UInt32, _ kernel: borrowing K) -> UInt64 {
    let deadline = connections[index].deadline
    // Its clock may stand still already.
    return deadline == .max ? connections[index].timeLeft : deadline - min(deadline, kernel.now)
  }

  /// Stops the handshake's clock, because the client is now waiting for the relay.
  private mutating func stopClock(_ index: UInt32, _ kernel: borrowing K) {
    connections[index].timeLeft = timeLeft(index, kernel)
    connections[index].deadline = .max
  }

  /// Handshakes have a time limit from now on, also those that are waiting for their clients without one.
  mutating func startClocks(_ kernel: borrowing K) {
    for index in 0..<connections.used where connections[index].deadline == .max {
      switch connections[index].phase {
      case .version, .ping: setDeadline(index, kernel.now.adding(settings.handshakeTimeout))
      case .response where !connections[index].queue.isForWorker:
        setDeadline(index, kernel.now.adding(settings.handshakeTimeout))
      case .key where !connections[index].flags.contains(.keepsPacket):
        setDeadline(index, kernel.now.adding(settings.handshakeTimeout))
      default: break
      }
    }
  }

  /// The clock continues from where it stopped.
  mutating func resumeClock(_ index: UInt32, _ kernel: borrowing K) {
    setDeadline(index, kernel.now.adding(connections[index].timeLeft))
    connections[index].attempt?.value.challengedSince = kernel.now
  }

  @inline(never)
  private mutating func verified(_ token: Token, _ key: PublicKey?, _ kernel: inout K) {
    // A connection that is gone by now needs no answer.
    guard let index = connections.find(token), connections[index].phase == .verifying else { return }
    guard let key else { return refuseMalformed(index, &kernel) }
    let address = connections[index].address
    // Who was banned meanwhile would otherwise be served: a ban ends the sessions that there are.
    guard !admission.isDenied(address) else { return refuseNewcomer(index, .denied, &kernel) }
    guard case .no = drain, let slot = sessions.start(connection: index, key: key, address: address, now: kernel.now)
    else {
      return closeHandshake(index, &kernel)
    }
    beginSession(index, slot, &kernel)
  }

  /// The session begins: its id is sent.
  @inline(never)
  private mutating func beginSession(_ index: UInt32, _ slot: UInt32, _ kernel: inout K) {
    let id = sessions[slot].id
    attach(index, slot, kernel)
    counters.add(.sessionsStarted)
    distributions.add(.handshakeTime, kernel.now &- connections[index].accepted)
    if events.wants(.debug) { post(Event.sessionStarted, slot, &kernel) }
    // Before anything else that the backend may hear of it.
    if settings.tellsAddresses {
      sessions.origins[slot] = connections.origins[index]
      tellAddress(slot)
    }
    guard sendHandshake(index, .clientID(id), &kernel) else { return }
    // The poll's edges were ignored while the worker was busy: read once to find out.
    markReady(index)
  }

  /// A session gets a connection: from now on packets go both ways, beginning with what arrived after the handshake.
  mutating func attach(_ index: UInt32, _ slot: UInt32, _ kernel: borrowing K) {
    sessions[slot].state = .attached
    sessions[slot].connection = index
    connections[index].session = slot
    connections[index].traffic = Traffic(sessions[slot].kept, at: kernel.now)
    admission.countOutOfHandshake(index, connections)
    enter(.attached, index)
    beginSilence(index, kernel)
    if connections[index].unfinished != nil { connections[index].flags.insert(.stashed) }
    if connections[index].flags.contains(.hungUp) { noteGone(index) }
  }

  /// Sends a handshake packet. False when the connection turned out to be gone.
  mutating func sendHandshake(
    _ index: UInt32, _ packet: FramedHandshakePacket, _ kernel: inout K
  ) -> Bool {
    sendNow(index, gather.place(packet), packet.byteCount, &kernel)
  }
}
