import Glibc
import VoltlaneCrypto

/// A part of the relay by itself, so that its instructions can be counted without the rest (tools/check-instructions).
enum Part: String, CaseIterable {
  /// 64-byte packets through an uplink lane, sixteen at a time: append, publish, gather, release.
  case lane
  /// From a client's id to its session, among 1,000.
  case lookup
  /// A new session's id.
  case id
  /// A deadline set in the timer wheel, and come up.
  case timer
  /// A shard with 1,000 clients goes from one host to another.
  case move
  /// What a new client costs a handshake worker: is its key a point of the curve?
  case newcomer
  /// What a client costs who returns for the first time: shared secret, challenge, response.
  case firstReturn = "first-return"
  /// And later: challenge and response.
  case laterReturn = "later-return"

  /// Does it `count` times. Returns something that depends on all of it, which the compiler cannot leave out.
  func run(_ count: Int) -> UInt64 {
    do {
      switch self {
      case .lane: return try lane(count)
      case .lookup: return try lookup(count)
      case .id: return id(count)
      case .timer: return try timer(count)
      case .move: return Replay(.up, clients: 1000, size: 64, packetsPerReceive: 1, packets: 0).move(count)
      case .newcomer: return try newcomer(count)
      case .firstReturn: return try returning(count, keepsKey: false)
      case .laterReturn: return try returning(count, keepsKey: true)
      }
    } catch {
      fatalError("\(self) cannot run: \(error)")
    }
  }

  private var ids: ClientIDs { ClientIDs(shards: 4, random: { 0x9e37_79b9_7f4a_7c15 }) }

  private func lane(_ count: Int) throws -> UInt64 {
    let arena = Arena()
    let lane = try UplinkLane(arena)
    var producer = UplinkProducer(lane)
    var consumer = UplinkConsumer(lane)
    let size = 64
    let batch = 16
    let data = arena.allocate(byteCount: size)
    let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
    defer { vectors.deallocate() }
    var bytes: UInt64 = 0
    for _ in 0..<(count / batch) {
      precondition(producer.room(for: batch * (UplinkProducer.headerSize + size)) > 0)
      for _ in 0..<batch { producer.append(id: bytes, flag: .data, data, size) }
      _ = producer.publish()
      _ = consumer.gather(vectors, room: 2)
      bytes &+= UInt64(consumer.gatheredBytes)
      _ = consumer.advance(consumer.gatheredBytes)
      _ = consumer.release()
    }
    return bytes
  }

  private func id(_ count: Int) -> UInt64 {
    let ids = ids
    var sum: UInt64 = 0
    for number in 0..<count { sum &+= ids.id(shard: 0, slot: UInt32(number & 0xffff), generation: UInt64(number)) }
    return sum
  }

  private func lookup(_ count: Int) throws -> UInt64 {
    var sessions = try SessionTable(shard: 0, ids: ids)
    let key = try SecretKey.generate().publicKey
    let known = (0..<1000).map { _ in
      sessions[sessions.start(connection: 0, key: key, address: .none, now: 0)!].id
    }
    var sum: UInt64 = 0
    for number in 0..<count {
      let id = known[number % known.count]
      guard let slot = sessions.find(id, at: sessions.place(of: id).slot) else { fatalError("a session is lost") }
      sum &+= UInt64(slot)
    }
    return sum
  }

  /// A thousand connections, each with a deadline a little later than the one before; time goes on by what is due.
  private func timer(_ count: Int) throws -> UInt64 {
    var connections = try ConnectionTable()
    var wheel = TimerWheel(now: ReplayKernel.start)
    var now = ReplayKernel.start
    var due: UInt64 = 0
    let crowd: UInt64 = 1000
    for socket in 0..<Int32(crowd) { _ = connections.add(socket, at: 0) }
    for _ in 0..<(UInt64(count) / crowd) {
      for index in 0..<crowd { wheel.arm(UInt32(index), at: now + index * 1_000_000, connections) }
      while due < crowd {
        now = wheel.nextDeadline()
        while wheel.nextDue(now: now, connections) != nil { due += 1 }
      }
      due = 0
    }
    return now
  }

  private func newcomer(_ count: Int) throws -> UInt64 {
    let encoded = ReplayScript.clientKey
    var sum: UInt64 = 0
    for _ in 0..<count {
      let key = try PublicKey(sec1: encoded.span.bytes)
      sum &+= key.withCompressed { UInt64($0.byteCount) }
    }
    return sum
  }

  private func returning(_ count: Int, keepsKey: Bool) throws -> UInt64 {
    let relay = try SecretKey.generate()
    let encoded = ReplayScript.clientKey
    let client = try PublicKey(sec1: encoded.span.bytes)
    let plain: SealedBox.Plain = .init(repeating: 7)
    var key = relay.sessionKey(with: client)
    var sum: UInt64 = 0
    for number in 0..<count {
      if !keepsKey { key = relay.sessionKey(with: client) }
      let nonce = SealedBox.Nonce(repeating: UInt8(truncatingIfNeeded: number))
      let box = SealedBox.seal(plain.span.bytes, key: key, nonce: nonce)
      guard let opened = SealedBox.open(box.span.bytes, key: key),
        ConstantTime.areEqual(opened.span.bytes, plain.span.bytes)
      else { fatalError("a box does not open") }
      sum &+= UInt64(opened[0])
    }
    return sum
  }
}
