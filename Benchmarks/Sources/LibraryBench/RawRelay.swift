import Foundation
import Glibc
import Synchronization
import VoltlaneText
import VoltlaneWire

/// The relay's end of a firehose, or of a client's connection: two threads with blocking sockets. Every byte that comes
/// is compared with what must come.
final class RawRelay: Sendable {
  /// What every packet carries.
  static let packet = [UInt8](repeating: 0x5a, count: 64)
  private static let clients = UInt64(1)...1000
  private static let chunk = 128 << 10

  let port: UInt16
  private let bytes = Atomic(0)
  private let framedSize: Int
  private let wrong = Mutex<String?>(nil)

  /// What was wrong with what came.
  var complaint: String? { wrong.withLock { $0 } }
  /// Whole packets that have come.
  var packetCount: Int { bytes.load(ordering: .relaxed) / framedSize }

  private init(port: UInt16, framedSize: Int) {
    self.port = port
    self.framedSize = framedSize
  }

  /// Dials a backend, and sends it packets of a thousand clients for as long as it takes them. All of them must come
  /// back.
  convenience init(dialling backend: Endpoint) throws {
    guard case .tcp(_, let port) = backend else { throw Plan.Refused(description: "no TCP port") }
    self.init(port: port, framedSize: Wire.sizePrefix + Wire.tag + Self.packet.count)
    let round = Self.clients.flatMap {
      Tag(clientID: $0 &* 0x9e37_79b9_7f4a_7c15, flag: .data).framed(dataCount: Self.packet.count) + Self.packet
    }
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard Self.withLoopback(port, { connect(fd, $0, $1) }) == 0 else { throw Plan.Refused(description: "no backend") }
    Thread.detachNewThread { while Self.write(fd, round) {} }
    Thread.detachNewThread { self.read(fd, expecting: round) }
  }

  /// Waits for one client, shakes hands with it and takes what it sends.
  static func listening() throws -> RawRelay {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard withLoopback(0, { bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0 else {
      throw Plan.Refused(description: "cannot listen")
    }
    let relay = RawRelay(port: ownPort(of: listener), framedSize: Wire.sizePrefix + packet.count)
    Thread.detachNewThread {
      let fd = accept(listener, nil, nil)
      close(listener)
      relay.greet(fd)
      relay.read(fd, expecting: Wire.sizePrefixBytes(packet.count) + packet)
    }
    return relay
  }

  /// A port on which nobody listens just now.
  static func freePort() throws -> UInt16 {
    let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(probe) }
    guard withLoopback(0, { bind(probe, $0, $1) }) == 0 else { throw Plan.Refused(description: "no port") }
    return ownPort(of: probe)
  }

  private static func ownPort(of descriptor: Int32) -> UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return UInt16(bigEndian: address.sin_port)
  }

  /// Any valid point will do: nobody comes back.
  private static let key: [UInt8] = [
    0x03, 0x25, 0xb4, 0xd5, 0xc7, 0x37, 0x33, 0x02, 0xff, 0x6d, 0x40, 0xbe, 0xa1, 0xfb, 0xde, 0xb2, 0x76, 0x60, 0xac,
    0x72, 0x37, 0x6d, 0x6d, 0x1c, 0x73, 0x0e, 0xc1, 0x73, 0xb7, 0x75, 0x2d, 0x36, 0x2d,
  ]

  private func greet(_ fd: Int32) {
    let key = FramedHandshakePacket.publicKey(Self.key.span.bytes)
    let theirs = FramedHandshakePacket.protocolVersion().byteCount + key.byteCount
    var buffer = [UInt8](repeating: 0, count: theirs)
    guard recv(fd, &buffer, theirs, Int32(MSG_WAITALL)) == theirs else { return complain("no handshake") }
    _ = Self.write(fd, key.bytes + FramedHandshakePacket.clientID(7).bytes)
  }

  /// Reads to the end; what comes must be `round`, over and over.
  private func read(_ fd: Int32, expecting round: [UInt8]) {
    // So often that a read of a chunk, from any place of a round on, lies within it.
    var expected: [UInt8] = []
    while expected.count < round.count + Self.chunk { expected += round }
    var buffer = [UInt8](repeating: 0, count: Self.chunk)
    var place = 0
    while true {
      let count = recv(fd, &buffer, Self.chunk, 0)
      guard count > 0 else { break }
      let isRight = expected.withUnsafeBytes { memcmp($0.baseAddress! + place, &buffer, count) == 0 }
      guard isRight else {
        complain("what came is not what was sent")
        break
      }
      place = (place + count) % round.count
      bytes.add(count, ordering: .relaxed)
    }
    shutdown(fd, Int32(SHUT_RDWR))
  }

  private func complain(_ text: String) {
    wrong.withLock { $0 = $0 ?? text }
  }

  /// Writes all; false where the connection has ended.
  private static func write(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { bytes in
      var sent = 0
      while sent < bytes.count {
        let count = Glibc.send(fd, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
        guard count > 0 else { return false }
        sent += count
      }
      return true
    }
  }

  private static func withLoopback<R>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }
}
