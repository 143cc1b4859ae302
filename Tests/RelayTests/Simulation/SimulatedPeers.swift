import VoltlaneWire

/// A client in a simulation: what it would send, and what it has received.
struct SimulatedClient {
  let socket: SimulatedSocket
  private var parsed = 0

  init(_ socket: SimulatedSocket) { self.socket = socket }

  /// A valid key: the generator of the curve.
  static let key: [UInt8] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
  ]

  /// Version and key, in one piece.
  static var hello: [UInt8] {
    FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.publicKey(key.span.bytes).bytes
  }

  static func packet(_ data: [UInt8]) -> [UInt8] { Wire.sizePrefixBytes(data.count) + data }

  /// The next whole packet that the relay has sent.
  mutating func next() -> [UInt8]? { nextPacket(socket.outgoing, &parsed) }

  /// Reads the relay's key and the id; nil while they have not come whole.
  mutating func readHandshake() -> UInt64? {
    let start = parsed
    guard next() != nil, let packet = next(),
      case .clientID(let id)? = try? HandshakePacket.decode(packet.span.bytes)
    else {
      parsed = start
      return nil
    }
    return id
  }
}

/// A backend in a simulation: tagged packets that came over one firehose connection.
struct SimulatedBackend {
  let socket: SimulatedSocket
  private var parsed = 0

  init(_ socket: SimulatedSocket) { self.socket = socket }

  /// All flags of the firehose, the published four and the others.
  enum Flag: UInt8, CaseIterable {
    case data, failure, kick, reconnection, away, volatile, multicast, address
  }

  struct Packet: Equatable {
    var id: UInt64
    var flag: Flag
    var data: [UInt8]
  }

  mutating func next() -> Packet? {
    guard let packet = nextPacket(socket.outgoing, &parsed) else { return nil }
    let flag = Flag(rawValue: packet[Wire.clientID])!
    // The published ones are read as a backend's library does, which knows who may send them.
    if PacketFlag(rawValue: flag.rawValue) != nil { _ = try! Tag.decode(packet.span.bytes, from: .relay) }
    return Packet(
      id: packet.span.bytes.littleEndianUInt64(at: 0), flag: flag, data: Array(packet.dropFirst(Wire.tag)))
  }

  static func packet(_ id: UInt64, _ flag: Flag = .data, _ data: [UInt8] = []) -> [UInt8] {
    var bytes = Tag(clientID: id, flag: .data).framed(dataCount: data.count)
    bytes[Wire.sizePrefix + Wire.clientID] = flag.rawValue
    return bytes + data
  }

  /// One packet for many clients.
  static func multicast(_ ids: [UInt64], _ data: [UInt8], isVolatile: Bool = false) -> [UInt8] {
    Multicast.framed(to: ids, isVolatile: isVolatile, dataCount: data.count) + data
  }
}

private func nextPacket(_ bytes: [UInt8], _ parsed: inout Int) -> [UInt8]? {
  guard bytes.count - parsed >= 4 else { return nil }
  let size = Int(bytes.span.bytes.littleEndianUInt32(at: parsed))
  guard bytes.count - parsed - 4 >= size else { return nil }
  defer { parsed += 4 + size }
  return Array(bytes[(parsed + 4)..<(parsed + 4 + size)])
}
