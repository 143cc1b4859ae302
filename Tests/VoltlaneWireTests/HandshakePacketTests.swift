import Testing
import Vectors
import VoltlaneWire

@Suite struct HandshakePacketTests {
  /// What each worked packet says.
  static let worked: [(name: String, packet: HandshakePacket)] = [
    ("ping", .ping),
    ("version_2", .protocolVersion(2)),
    ("version_300", .protocolVersion(300)),
    ("server_pubkey", .publicKey(2..<35)),
    ("client_pubkey_uncompressed", .publicKey(2..<67)),
    ("client_id_7", .clientID(7)),
    ("client_id_0x0123456789abcdef", .clientID(0x0123_4567_89ab_cdef)),
    ("challenge", .challenge(2..<74)),
    ("challenge_response", .challengeResponse(2..<74)),
  ]

  let vectors = Vectors.shared

  @Test func everyWorkedPacketIsTested() {
    #expect(Set(Self.worked.map(\.name)) == Set(vectors["packets"].keys))
  }

  @Test(arguments: worked) func decoding(name: String, packet: HandshakePacket) throws {
    #expect(try decodeHandshake(vectors["packets", name]) == packet)
  }

  @Test(arguments: worked) func encoding(name: String, packet: HandshakePacket) {
    let bytes = vectors["packets", name]
    let framed = frame(packet, of: bytes)
    #expect(framed.bytes == Wire.sizePrefixBytes(bytes.count) + bytes)
    #expect(framed.byteCount == bytes.count + 4)
    #expect((0..<framed.byteCount).map { framed[$0] } == framed.bytes)
  }

  @Test func workedFrame() {
    #expect(FramedHandshakePacket.protocolVersion().bytes == vectors["framed", "version_2"])
  }

  @Test(arguments: worked) func everyTruncationIsRefused(name: String, packet: HandshakePacket) {
    let bytes = vectors["packets", name]
    for count in 0..<bytes.count {
      #expect(throws: HandshakePacketError.truncated, "\(count) bytes") {
        try decodeHandshake(Array(bytes.prefix(count)))
      }
    }
  }

  @Test(arguments: worked) func leftOverBytesAreIgnored(name: String, packet: HandshakePacket) throws {
    let bytes = vectors["packets", name]
    for count in [1, 2, 100, 256 - bytes.count] {
      #expect(try decodeHandshake(bytes + [UInt8](repeating: 0xfe, count: count)) == packet)
    }
  }

  @Test func packetAboveTheMaximumIsRefused() throws {
    #expect(try decodeHandshake([UInt8](repeating: 0, count: 256)) == .ping)
    #expect(throws: HandshakePacketError.tooLarge(byteCount: 257)) {
      try decodeHandshake([UInt8](repeating: 0, count: 257))
    }
  }

  @Test func unknownKindIsRefused() {
    for kind in 6...250 {
      #expect(throws: HandshakePacketError.unknownKind(UInt64(kind))) {
        try decodeHandshake([UInt8(kind)] + [UInt8](repeating: 0, count: 100))
      }
    }
    // The kind is a whole u32, not its lowest byte.
    #expect(throws: HandshakePacketError.unknownKind(256)) { try decodeHandshake([251, 0, 1]) }
    #expect(throws: HandshakePacketError.unknownKind(0x1_0000)) { try decodeHandshake([252, 0, 0, 1, 0]) }
  }

  @Test(arguments: [253, 254, 255] as [UInt8]) func kindAndVersionRefuseForm(first: UInt8) {
    let wide = [first] + [UInt8](repeating: 0, count: 8)
    #expect(throws: HandshakePacketError.invalidVarint(first)) { try decodeHandshake(wide) }
    #expect(throws: HandshakePacketError.invalidVarint(first)) { try decodeHandshake([1] + wide) }
  }

  @Test func longerFormsAreRead() throws {
    let key = vectors["keys", "server_public_compressed"]
    #expect(try decodeHandshake([251, 0, 0]) == .ping)
    #expect(try decodeHandshake([252, 1, 0, 0, 0, 252, 2, 0, 0, 0]) == .protocolVersion(2))
    #expect(try decodeHandshake([2, 251, 33, 0] + key) == .publicKey(4..<37))
    #expect(try decodeHandshake([2, 253, 33, 0, 0, 0, 0, 0, 0, 0] + key) == .publicKey(10..<43))
    #expect(try decodeHandshake([3, 253, 7, 0, 0, 0, 0, 0, 0, 0]) == .clientID(7))
  }

  @Test(arguments: [254, 255] as [UInt8]) func fieldsRefuseUnusedForms(first: UInt8) {
    for kind in [2, 3, 4, 5] as [UInt8] {
      #expect(throws: HandshakePacketError.invalidVarint(first)) {
        try decodeHandshake([kind, first] + [UInt8](repeating: 0, count: 80))
      }
    }
  }

  @Test func publicKeyOfOtherLengthIsRefused() {
    for count in 0...250 where count != 33 && count != 65 {
      #expect(throws: HandshakePacketError.invalidPublicKey(byteCount: UInt64(count), tag: nil)) {
        try decodeHandshake([2, UInt8(count)] + [UInt8](repeating: 2, count: 250))
      }
    }
    // The largest declared length there is: nothing may be computed with it.
    #expect(throws: HandshakePacketError.invalidPublicKey(byteCount: .max, tag: nil)) {
      try decodeHandshake([2, 253] + [UInt8](repeating: 0xff, count: 80))
    }
  }

  @Test(arguments: [(33, [2, 3]), (65, [4])] as [(Int, [UInt8])])
  func publicKeyWithOtherTagIsRefused(count: Int, allowed: [UInt8]) throws {
    for tag in UInt8.min...UInt8.max {
      let packet = [2, UInt8(count), tag] + [UInt8](repeating: 1, count: count - 1)
      if allowed.contains(tag) {
        #expect(try decodeHandshake(packet) == .publicKey(2..<(2 + count)))
      } else {
        #expect(throws: HandshakePacketError.invalidPublicKey(byteCount: UInt64(count), tag: tag)) {
          try decodeHandshake(packet)
        }
      }
    }
  }

  @Test(arguments: [4, 5] as [UInt8]) func sealedBoxOfOtherLengthIsRefused(kind: UInt8) {
    for count in 0...250 where count != 72 {
      #expect(throws: HandshakePacketError.invalidSealedBox(byteCount: UInt64(count))) {
        try decodeHandshake([kind, UInt8(count)] + [UInt8](repeating: 0, count: 250))
      }
    }
    #expect(throws: HandshakePacketError.invalidSealedBox(byteCount: .max)) {
      try decodeHandshake([kind, 253] + [UInt8](repeating: 0xff, count: 80))
    }
  }

  @Test func errorsSayWhatIsAllowed() {
    let errors: [HandshakePacketError] = [
      .truncated, .invalidVarint(254), .unknownKind(9), .invalidPublicKey(byteCount: 33, tag: 6),
      .invalidPublicKey(byteCount: 7, tag: nil), .invalidSealedBox(byteCount: 71), .tooLarge(byteCount: 257),
    ]
    #expect(Set(errors.map(\.description)).count == errors.count)
    #expect(errors[3].description.contains("33 bytes go with 2 or 3"))
  }
}

/// `packet`, whose byte fields are in `bytes`, as the encoder writes it.
func frame(_ packet: HandshakePacket, of bytes: [UInt8]) -> FramedHandshakePacket {
  func field(_ range: Range<Int>) -> [UInt8] { Array(bytes[range]) }
  switch packet {
  case .ping: return .ping
  case .protocolVersion(let version): return .protocolVersion(version)
  case .clientID(let id): return .clientID(id)
  case .publicKey(let range): return .publicKey(field(range).span.bytes)
  case .challenge(let range): return .challenge(field(range).span.bytes)
  case .challengeResponse(let range): return .challengeResponse(field(range).span.bytes)
  }
}
