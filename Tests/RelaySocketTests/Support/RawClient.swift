import Relay
import Vectors
import VoltlaneWire

/// A client that has shaken hands.
struct RawClient {
  /// What a new client sends, packet by packet: protocol version 2 and its key.
  static let version: [UInt8] = [2, 0, 0, 0, 1, 2]
  static let key = framed([2, 33] + Vectors.shared["keys", "client_public_compressed"])
  static let hello = version + key

  /// What the relay answers the version with, under ``TestRelay``'s identity.
  static let relayKey = framed([2, 33] + Vectors.shared["keys", "server_public_compressed"])

  let socket: RawSocket
  let id: UInt64

  /// Shakes hands over `socket`; the test's data may follow in the same write.
  init(_ socket: RawSocket, followedBy data: [UInt8] = []) throws {
    self.socket = socket
    try socket.send(RawClient.hello + data)
    id = try RawClient.receiveAnswers(socket)
  }

  /// One that has come back.
  init(returned socket: RawSocket, _ id: UInt64) {
    self.socket = socket
    self.id = id
  }

  /// Takes the relay's key and the client id.
  static func receiveAnswers(_ socket: RawSocket) throws -> UInt64 {
    let key = try socket.receive(relayKey.count)
    guard key == relayKey else { throw SocketFailure.ended(.fin, received: key) }
    return try receiveID(socket)
  }

  static func receiveID(_ socket: RawSocket) throws -> UInt64 {
    let packet = try socket.receivePacket()
    guard packet.first == 3 else { throw SocketFailure.ended(.fin, received: packet) }
    let id = try Varint.decode(packet.span.bytes, at: 1, width: .u64).value
    // Written in its shortest form, and nothing behind it.
    guard packet == [3] + Varint.encode(id) else { throw SocketFailure.ended(.fin, received: packet) }
    return id
  }

  func send(_ packets: [UInt8]...) throws { try socket.send(packets.flatMap(framed)) }

  func receive() throws -> Received { Received(bytes: try socket.receivePacket()) }
}

/// A size-prefixed packet.
func framed(_ data: [UInt8]) -> [UInt8] { Wire.sizePrefixBytes(data.count) + data }

/// The same packet, several times.
func framed(_ data: [UInt8], times count: Int) -> [UInt8] {
  Array(repeating: framed(data), count: count).flatMap { $0 }
}

/// `count` bytes that differ from place to place and from `seed` to `seed`.
func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var value = UInt32(truncatingIfNeeded: seed &* 2_654_435_761 &+ count)
  for index in bytes.indices {
    value = value &* 1_664_525 &+ 1_013_904_223
    bytes[index] = UInt8(truncatingIfNeeded: value >> 24)
  }
  return bytes
}
