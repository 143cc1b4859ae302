import Testing
import Vectors
import VoltlaneWire

@Suite struct VarintTests {
  @Test func workedBytes() throws {
    #expect(Vectors.shared.varints.count == 14)
    for (value, bytes) in Vectors.shared.varints {
      #expect(Varint.encode(value) == bytes)
      let decoded = try decodeVarint(bytes)
      #expect(decoded.value == value && decoded.byteCount == bytes.count)
    }
  }

  @Test func everyTruncationIsRefused() {
    for (_, bytes) in Vectors.shared.varints {
      for count in 0..<bytes.count {
        #expect(throws: HandshakePacketError.truncated) { try decodeVarint(Array(bytes.prefix(count))) }
      }
    }
  }

  @Test func offsetBeyondTheEndIsTruncated() {
    #expect(throws: HandshakePacketError.truncated) { try decodeVarint([1, 2], at: 2) }
    #expect(throws: HandshakePacketError.truncated) { try decodeVarint([1, 2], at: 3) }
  }

  @Test func whatFollowsIsLeftAlone() throws {
    for (value, bytes) in Vectors.shared.varints {
      let decoded = try decodeVarint([9, 9] + bytes + [0xff, 0xff], at: 2)
      #expect(decoded.value == value && decoded.byteCount == bytes.count)
    }
  }

  @Test(
    arguments: [
      ([251, 7, 0], 7), ([252, 7, 0, 0, 0], 7), ([253, 7, 0, 0, 0, 0, 0, 0, 0], 7), ([252, 0xff, 0xff, 0, 0], 0xffff),
      ([253, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 0xffff_ffff),
    ] as [([UInt8], UInt64)])
  func longerFormThanNeededIsRead(bytes: [UInt8], value: UInt64) throws {
    let decoded = try decodeVarint(bytes)
    #expect(decoded.value == value && decoded.byteCount == bytes.count)
    #expect(Varint.encode(value).count < bytes.count)
  }

  @Test func wideFormIsRefusedInNarrowField() throws {
    let wide: [UInt8] = [253, 7, 0, 0, 0, 0, 0, 0, 0]
    #expect(throws: HandshakePacketError.invalidVarint(253)) { try decodeVarint(wide, width: .u32) }
    #expect(try decodeVarint([252, 0xff, 0xff, 0xff, 0xff], width: .u32).value == 0xffff_ffff)
  }

  @Test(arguments: [254, 255] as [UInt8], [Varint.Width.u32, .u64])
  func unusedFormsAreRefused(first: UInt8, width: Varint.Width) {
    let bytes = [first] + [UInt8](repeating: 0, count: 16)
    #expect(throws: HandshakePacketError.invalidVarint(first)) { try decodeVarint(bytes, width: width) }
  }
}
