import Glibc
import VoltlaneWire

/// The client handshake, version 2, for a new client:
///
///     client -> relay   protocol version 2
///     relay  -> client  the relay's public key
///     client -> relay   the client's public key         checked by a worker
///     relay  -> client  client id                       the session is born
///
/// Packets may come split or joined at any byte, with application data behind the key in the same read.
extension Shard {
  /// Reads a connection that is in the handshake: a little at a time, because what follows the key has to be kept.
  @inline(never)
  mutating func readHandshake<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let start = readBuffer.start
    let count = recallUnfinished(index)
    let received = kernel.receive(connection.pointee.socket, start + count, Limits.handshakeRead)
    guard received > 0 else {
      switch received == 0 ? .broken : Refusal(received) {
      case .wouldBlock: keepHandshakeBytes(index, 0..<count)
      case .later:
        keepHandshakeBytes(index, 0..<count)
        ready.append(index, connections)
      // Gone before it was a client.
      case .broken: drop(index, &kernel)
      }
      return
    }
    if received == Limits.handshakeRead || connection.pointee.flags.contains(.hungUp) {
      ready.append(index, connections)
    }
    takeHandshakePackets(index, count &+ received, &kernel)
  }

  private mutating func takeHandshakePackets<K: Kernel & ~Copyable>(
    _ index: UInt32, _ count: Int, _ kernel: inout K
  ) {
    let connection = connections[index]
    let bytes = readBuffer.span(count)
    var offset = 0
    while count &- offset >= Wire.sizePrefix {
      let size = Int(bytes.littleEndianUInt32(at: offset))
      guard size <= Wire.maxHandshakePacket else { return refuseHandshake(index, &kernel) }
      guard count &- offset &- Wire.sizePrefix >= size else { break }
      let data = offset &+ Wire.sizePrefix
      offset = data &+ size
      let packet: HandshakePacket
      do {
        packet = try HandshakePacket.decode(bytes.extracting(data..<offset))
      } catch {
        return refuseHandshake(index, &kernel)
      }
      switch (connection.pointee.phase, packet) {
      case (.version, .protocolVersion(Wire.protocolVersion)):
        connection.pointee.phase = .key
        guard sendHandshake(index, keyPacket, &kernel) else { return }
      case (.key, .publicKey(let field)):
        let point = (data &+ field.lowerBound)..<(data &+ field.upperBound)
        submitJob(index, bytes.extracting(point))
        keepHandshakeBytes(index, offset..<count)
        return
      case (.key, .clientID):
        // Every id is that of a session that is over: an orderly close says so.
        closeGracefully(index, &kernel)
        return
      default:
        return refuseHandshake(index, &kernel)
      }
    }
    keepHandshakeBytes(index, offset..<count)
  }

  /// Keeps what came in part, or behind the key: at most one packet and one read, whatever a packet declares.
  private mutating func keepHandshakeBytes(_ index: UInt32, _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    let buffer = PacketBuffer(
      copying: readBuffer.start + range.lowerBound, range.count,
      capacity: max(range.count, Limits.firstUnfinishedCapacity), budget)
    connections[index].pointee.unfinished = buffer
    unfinished.add(index, connections)
  }

  private mutating func submitJob(_ index: UInt32, _ point: RawSpan) {
    let connection = connections[index]
    connection.pointee.phase = .verifying
    // Time at the worker is the relay's own.
    connection.pointee.deadline = .max
    var bytes = InlineArray<65, UInt8>(repeating: 0)
    for offset in 0..<point.byteCount { bytes[offset] = point.byte(at: offset) }
    nextWorker = (nextWorker &+ 1) % workers.count
    workers[nextWorker].jobs.push(
      HandshakeJob(
        connection: connections.token(.clientReadable, index), point: bytes, pointCount: UInt8(point.byteCount)))
    workers[nextWorker].underWay &+= 1
  }

  /// Whether a worker can take a job now; handshakes are read only while one can.
  func hasWorkerRoom() -> Bool {
    workers[(nextWorker &+ 1) % workers.count].underWay < Limits.handshakeLane
  }

  /// Takes what the workers have found.
  mutating func takeHandshakeResults<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for worker in 0..<workers.count {
      while workers[worker].results.available() > 0 {
        let result = workers[worker].results.take()
        workers[worker].underWay &-= 1
        // A connection that has gone meanwhile wants no answer.
        guard let index = connections.find(result.connection), connections[index].pointee.phase == .verifying else {
          continue
        }
        if let key = result.key, case .no = drain, let slot = sessions.start(connection: index, key: key) {
          attach(index, slot, &kernel)
        } else {
          refuseHandshake(index, &kernel)
        }
      }
      _ = workers[worker].results.release()
    }
    while hasWorkerRoom(), let index = waitingForWorker.popFirst(connections) { ready.append(index, connections) }
  }

  /// The session is born: its id is sent.
  @inline(never)
  private mutating func attach<K: Kernel & ~Copyable>(_ index: UInt32, _ slot: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let id = sessions[slot].pointee.id
    connection.pointee.session = slot
    connection.pointee.phase = .attached
    if connection.pointee.unfinished != nil { connection.pointee.flags.insert(.stashed) }
    counters.add(.sessionsStarted)
    if events.wants(.debug) { events.post(.sessionStarted(id: id), &kernel) }
    guard sendHandshake(index, .clientID(id), &kernel) else { return }
    // The poll's edges came to nothing while the worker was busy: read once to find out.
    ready.append(index, connections)
  }

  /// Sends a handshake packet. False when the connection turned out to be gone.
  private mutating func sendHandshake<K: Kernel & ~Copyable>(
    _ index: UInt32, _ packet: FramedHandshakePacket, _ kernel: inout K
  ) -> Bool {
    sendNow(index, gather.place(packet), packet.byteCount, &kernel)
  }

  /// Closes a connection that is not a client's: at once where the relay has sent nothing yet.
  @inline(never)
  mutating func refuseHandshake<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    counters.add(.handshakesMalformed)
    if let count = malformedHandshakes.admit(now: kernel.now) {
      events.post(.handshakesRefused(count: count), &kernel)
    }
    if connections[index].pointee.phase == .version { drop(index, &kernel) } else { closeGracefully(index, &kernel) }
  }
}
