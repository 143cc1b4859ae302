import Testing
import VoltlaneWire

import struct VoltlaneWire.Tag

/// Random packets through encoder and decoder, and random bytes through the decoders.
///
/// Each test draws a seed, prints it, and takes everything else from a generator of that seed. To run a failure again,
/// set VOLTLANE_TEST_SEED to the number printed.
@Suite struct RandomisedTests {
  @Test func handshakePacketsComeBack() throws {
    var random = SeededRandom.drawn("handshake packets")
    for round in 0..<20_000 {
      let (packet, framed) = random.handshakePacket()
      let bytes = framed.bytes
      #expect(Array(bytes.prefix(4)) == Wire.sizePrefixBytes(bytes.count - 4), "round \(round)")
      let data = Array(bytes.dropFirst(4))
      let decoded = try decodeHandshake(data)
      #expect(decoded == packet, "round \(round)")
      // Written again, it is the same: what is read has one written form.
      #expect(frame(decoded, of: data).bytes == bytes, "round \(round)")
      let cut = Int.random(in: 0..<data.count, using: &random)
      #expect(
        failure { () throws(HandshakePacketError) in _ = try decodeHandshake(Array(data.prefix(cut))) } == .truncated)
    }
  }

  /// Any bytes: a packet or an error, never a trap, and fields within the packet.
  @Test func anyBytesAreReadOrRefused() {
    var random = SeededRandom.drawn("any bytes")
    var read = 0
    for round in 0..<50_000 {
      var bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Mostly near the formats, where the interesting cases are.
      if !bytes.isEmpty, round % 4 != 0 { bytes[0] = UInt8.random(in: 0...6, using: &random) }
      if bytes.count > 1, round % 3 == 0 { bytes[1] = [33, 65, 72, 251, 252, 253, 254].randomElement(using: &random)! }
      switch try? decodeHandshake(bytes) {
      case .publicKey(let range), .challenge(let range), .challengeResponse(let range):
        #expect(bytes.indices.contains(range.lowerBound) && range.upperBound <= bytes.count, "round \(round)")
        read += 1
      case .ping, .protocolVersion, .clientID: read += 1
      case nil: break
      }
      _ = try? decodeTag(bytes, from: round % 2 == 0 ? .relay : .backend)
    }
    // A test that only ever saw refusals would show nothing.
    #expect(read > 1000)
  }

  @Test func tagsComeBack() throws {
    var random = SeededRandom.drawn("tags")
    for _ in 0..<20_000 {
      let tag = Tag(clientID: random.next(), flag: PacketFlag.allCases.randomElement(using: &random)!)
      let count = Int.random(in: 0...Wire.defaultMaxPacketSize, using: &random)
      let framed = tag.framed(dataCount: count)
      #expect(Array(framed.prefix(4)) == Wire.sizePrefixBytes(count + 9))
      #expect(try decodeTag(Array(framed.dropFirst(4)), from: tag.flag == .kick ? .backend : .relay) == tag)
    }
  }
}

extension SeededRandom {
  /// A packet with fields of any size, and how it is written.
  fileprivate mutating func handshakePacket() -> (HandshakePacket, FramedHandshakePacket) {
    let shift = UInt64.random(in: 0..<64, using: &self)
    let number = next() >> shift
    switch Int.random(in: 0..<7, using: &self) {
    case 0: return (.ping, .ping)
    case 1:
      let version = UInt32(truncatingIfNeeded: number)
      return (.protocolVersion(version), .protocolVersion(version))
    case 2: return (.clientID(number), .clientID(number))
    case 3: return (.publicKey(2..<35), .publicKey(field(33, first: Bool.random(using: &self) ? 2 : 3).span.bytes))
    case 4: return (.publicKey(2..<67), .publicKey(field(65, first: 4).span.bytes))
    case 5: return (.challenge(2..<74), .challenge(field(72).span.bytes))
    default: return (.challengeResponse(2..<74), .challengeResponse(field(72).span.bytes))
    }
  }

  private mutating func field(_ count: Int, first: UInt8? = nil) -> [UInt8] {
    var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    if let first { bytes[0] = first }
    return bytes
  }
}
