import Glibc
import Relay
import VoltlaneWire

/// A backend that a test plays by hand: it listens, and gives out the relay's connections one by one.
final class RawBackend {
  let endpoint: Endpoint
  private var listener: Int32

  /// Listens on a free port, on `endpoint`, or, where `isListening` is false, keeps the port so that dials are refused.
  init(_ endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 0), isListening: Bool = true) throws {
    listener = try SocketCalls.open(endpoint)
    try SocketCalls.bind(listener, endpoint)
    if case .tcp(let host, _) = endpoint {
      self.endpoint = .tcp(host: host, port: SocketCalls.port(listener))
    } else {
      self.endpoint = endpoint
    }
    if isListening { listen() }
  }

  deinit { close(listener) }

  func listen() { Glibc.listen(listener, 64) }

  /// Whether the relay dials again within `milliseconds`.
  func isDialled(within milliseconds: Int32) -> Bool { SocketCalls.wait(listener, POLLIN, milliseconds: milliseconds) }

  /// The relay's next connection.
  func accept(receiveBuffer: Int32? = nil) throws -> Firehose {
    if let receiveBuffer { SocketCalls.setOption(listener, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    guard SocketCalls.wait(listener, POLLIN, milliseconds: patience), let descriptor = SocketCalls.accept(listener)
    else { throw SocketFailure.timeout("the relay's connection") }
    return Firehose(socket: RawSocket(descriptor))
  }
}

/// A tagged packet.
struct Tagged: Equatable, CustomStringConvertible {
  var id: UInt64
  var flag: UInt8
  var data: [UInt8]

  static func failure(_ id: UInt64, _ reason: String) -> Tagged { Tagged(id: id, flag: 1, data: Array(reason.utf8)) }
  static func data(_ id: UInt64, _ data: [UInt8]) -> Tagged { Tagged(id: id, flag: 0, data: data) }
  static func kick(_ id: UInt64, _ data: [UInt8] = []) -> Tagged { Tagged(id: id, flag: 2, data: data) }

  var description: String { "id \(id), flag \(flag), \(Received(bytes: data))" }

  /// What stands on the wire.
  var bytes: [UInt8] {
    Wire.sizePrefixBytes(9 + data.count) + littleEndian(id) + [flag] + data
  }
}

func littleEndian(_ value: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}

/// The backend's end of one firehose connection.
struct Firehose {
  let socket: RawSocket

  func receive() throws -> Tagged {
    let packet = try socket.receivePacket()
    precondition(packet.count >= 9, "the relay sent a tagged packet of \(packet.count) bytes")
    let id = packet[..<8].enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    return Tagged(id: id, flag: packet[8], data: Array(packet[9...]))
  }

  func send(_ packets: Tagged...) throws { try socket.send(packets.flatMap(\.bytes)) }

  /// Receives up to the session's 0x01, and returns the data of that session before it, with the reason. Packets of
  /// others are passed to `others`.
  func receiveUntilFailure(of id: UInt64, others: (Tagged) -> Void = { _ in }) throws -> (
    data: [[UInt8]], reason: String
  ) {
    var data: [[UInt8]] = []
    while true {
      let packet = try receive()
      if packet.id != id {
        others(packet)
      } else if packet.flag == 1 {
        return (data, String(decoding: packet.data, as: UTF8.self))
      } else {
        data.append(packet.data)
      }
    }
  }
}
