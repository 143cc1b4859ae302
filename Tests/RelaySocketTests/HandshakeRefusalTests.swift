import Glibc
import Testing
import Vectors
import VoltlaneWire

/// Handshakes that are refused: that connection ends, and nobody else notices.
@Suite struct HandshakeRefusalTests {
  static let point = Vectors.shared["keys", "client_public_compressed"]
  static let whole = Vectors.shared["keys", "client_public_uncompressed"]
  static let padding = [UInt8](repeating: 0, count: 300)

  /// Bytes that no client begins with.
  static let beforeTheKey: [(String, [UInt8])] = [
    ("version 0", framed([1, 0])),
    ("version 1", framed([1, 1])),
    ("version 3", framed([1, 3])),
    ("version 300", framed(Vectors.shared["packets", "version_300"])),
    ("version 2 as u64", framed([1, 253, 2, 0, 0, 0, 0, 0, 0, 0])),
    ("version that begins with 254", framed([1, 254, 2, 0])),
    ("version that begins with 255", framed([1, 255, 2, 0])),
    ("version that is missing", framed([1])),
    ("version that is cut off", framed([1, 251, 2])),
    ("version that is cut off as u32", framed([1, 252, 2, 0, 0])),
    ("kind 1 as u64", framed([253, 1, 0, 0, 0, 0, 0, 0, 0, 2])),
    ("kind that begins with 254", framed([254, 1, 2])),
    ("kind that begins with 255", framed([255, 1, 2])),
    ("kind that is cut off", framed([251, 1])),
    ("kind 6", framed([6])),
    ("kind 250", framed([250])),
    ("kind 2^32 - 1", framed([252, 255, 255, 255, 255])),
    ("no kind", framed([])),
    ("ping first", framed([0])),
    ("key first", RawClient.key),
    ("client id first", framed([3, 7])),
    ("challenge first", framed(Vectors.shared["packets", "challenge"])),
    ("response first", framed(Vectors.shared["packets", "challenge_response"])),
    ("size 257", Wire.sizePrefixBytes(257)),
    ("size 257, sent whole", framed([1, 2] + [UInt8](repeating: 0, count: 255))),
    ("the largest size", [255, 255, 255, 255]),
    ("HTTP", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)),
    ("TLS", [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + pattern(500)),
    ("noise", pattern(5000, 3)),
  ]

  /// A connection that is refused before the relay has sent anything is closed without lingering.
  @Test(arguments: Layout.allCases)
  func `what is no version is closed at once, unanswered`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let other = try rig.test.client()
    for (name, bytes) in HandshakeRefusalTests.beforeTheKey {
      let socket = try rig.test.connect()
      try socket.send(bytes)
      let (answer, _) = try socket.receiveToEnd()
      #expect(answer == [], "\(name)")
      // A lingering close would still take bytes; this socket is gone.
      #expect(rig.test.eventually { (try? socket.sendSome([0])) == nil }, "\(name)")
      #expect(try rig.roundTrip(other), "\(name)")
    }
    #expect(rig.test.eventually(.handshakesMalformed, is: UInt64(HandshakeRefusalTests.beforeTheKey.count)))
    #expect(rig.test.eventually(.sessionsStarted, is: 1))
  }

  /// Packets that no client sends after its version.
  static let afterTheVersion: [(String, [UInt8])] = [
    ("ping", framed([0])),
    ("version again", RawClient.version),
    ("challenge", framed(Vectors.shared["packets", "challenge"])),
    ("response without a challenge", framed(Vectors.shared["packets", "challenge_response"])),
    ("kind 6", framed([6])),
    ("no kind", framed([])),
    ("kind 2 as u64", framed([253, 2, 0, 0, 0, 0, 0, 0, 0, 33] + point)),
    ("hybrid tag 6", framed([2, 65, 6] + whole.dropFirst())),
    ("hybrid tag 7", framed([2, 65, 7] + whole.dropFirst())),
    ("tag 0", framed([2, 33, 0] + point.dropFirst())),
    ("tag 4 with 33 bytes", framed([2, 33, 4] + point.dropFirst())),
    ("tag 2 with 65 bytes", framed([2, 65, 2] + whole.dropFirst())),
    ("tag 3 with 65 bytes", framed([2, 65, 3] + whole.dropFirst())),
    ("a point of 0 bytes", framed([2, 0])),
    ("a point of 32 bytes", framed([2, 32] + point.dropFirst())),
    ("a point of 34 bytes", framed([2, 34] + point + [0])),
    ("a point of 64 bytes", framed([2, 64] + whole.dropFirst())),
    ("a point of 2^64 - 1 bytes", framed([2, 253, 255, 255, 255, 255, 255, 255, 255, 255] + point)),
    ("a point that is cut off", framed([2, 33] + point.dropLast())),
    ("a length that is cut off", framed([2, 251, 33])),
    ("a length that begins with 254", framed([2, 254, 33, 0] + point)),
    ("no point on the curve", framed([2, 33, 2] + [UInt8](repeating: 255, count: 32))),
    // x = 5 has no y on the curve.
    ("no y for this x", framed([2, 33, 2] + [UInt8](repeating: 0, count: 31) + [5])),
    ("a wrong y", framed([2, 65] + whole.dropLast() + [whole.last! ^ 1])),
    ("size 257", Wire.sizePrefixBytes(257)),
    ("the largest size", [255, 255, 255, 255]),
    ("a client id that begins with 254", framed([3, 254, 7, 0])),
    ("a client id that is cut off", framed([3, 253, 1, 2, 3])),
  ]

  /// Once the relay has sent its key, what it has sent must arrive: it closes in order, with a FIN, and takes what the
  /// client still sends.
  @Test(arguments: Layout.allCases)
  func `what is refused after the key is closed in order`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let other = try rig.test.client()
    for (name, bytes) in HandshakeRefusalTests.afterTheVersion {
      let socket = try rig.test.connect()
      try socket.send(RawClient.version + bytes + pattern(3000))
      let (answer, end) = try socket.receiveToEnd()
      #expect(answer == RawClient.relayKey, "\(name)")
      #expect(end == .fin, "\(name)")
      #expect(try takesMore(socket), "\(name)")
      #expect(try rig.roundTrip(other), "\(name)")
    }
    #expect(rig.test.eventually(.sessionsStarted, is: 1))
    // Nobody but the standing client has become known to the backend.
    #expect(try rig.firehose.socket.staysSilent())
  }

  @Test(arguments: Layout.allCases)
  func `an unknown client id is an orderly end`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let ended = try rig.test.client()
    ended.socket.reset()
    #expect(try rig.firehose.receive() == .failure(ended.id, "stale timeout"))
    let ids: [[UInt8]] = [
      [0], [7], [251, 7, 0], [252, 7, 0, 0, 0], [253] + littleEndian(.max), [253] + littleEndian(ended.id),
    ]
    for id in ids {
      for behind in [[], framed(Vectors.shared["packets", "challenge_response"]) + framed([0]), pattern(300_000)] {
        let socket = try rig.test.connect()
        try socket.send(RawClient.version + framed([3] + id))
        try socket.send(behind)
        let (answer, end) = try socket.receiveToEnd()
        #expect(answer == RawClient.relayKey, "\(id)")
        #expect(end == .fin, "\(id), \(behind.count) bytes behind it")
        #expect(try takesMore(socket))
      }
    }
  }

  /// Whether the peer, which has sent its FIN, still takes bytes without a reset, until this side's FIN.
  private func takesMore(_ socket: RawSocket) throws -> Bool {
    for _ in 0..<8 {
      try socket.send(pattern(40_000))
      usleep(500)
    }
    let error = SocketCalls.option(socket.descriptor, SOL_SOCKET, SO_ERROR)
    socket.finish()
    return error == 0
  }

  @Test func `a client that never finishes the handshake is closed`() throws {
    let rig = try Rig()
    let other = try rig.test.client()
    // Nothing sent; a packet begun; the key awaited, and begun.
    let beginnings: [[UInt8]] = [
      [], [2, 0, 0], [2, 0, 0, 0, 1], RawClient.version, RawClient.version + RawClient.key.dropLast(),
    ]
    let sockets = try beginnings.map { bytes in
      let socket = try rig.test.connect()
      try socket.send(bytes)
      return socket
    }
    for (bytes, socket) in zip(beginnings, sockets) {
      let (answer, end) = try socket.receiveToEnd()
      // After the relay's key a client id may be on its way: an orderly close would say that its session is over, and a
      // reset may become one on its way. The end is one within a packet.
      #expect(answer == (bytes.count < RawClient.version.count ? [] : RawClient.relayKey + [74, 0, 0, 0]))
      #expect(bytes.count < RawClient.version.count || end != .fin)
    }
    #expect(try rig.roundTrip(other))
  }
}
