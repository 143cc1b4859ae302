import Testing
import Vectors
import VoltlaneWire

import struct VoltlaneWire.Tag

@Suite struct TaggedPacketTests {
  static let worked: [(name: String, tag: Tag, data: [UInt8])] = [
    ("data_hello_from_0x0123456789abcdef", Tag(clientID: 0x0123_4567_89ab_cdef, flag: .data), Array("hello".utf8)),
    ("data_empty_from_7", Tag(clientID: 7, flag: .data), []),
    ("failure_7", Tag(clientID: 7, flag: .failure), Array("client disconnected".utf8)),
    ("kick_7", Tag(clientID: 7, flag: .kick), []),
    ("reconnection_7", Tag(clientID: 7, flag: .reconnection), []),
  ]

  let vectors = Vectors.shared

  @Test func everyWorkedPacketIsTested() {
    #expect(Set(Self.worked.map(\.name)) == Set(vectors["tagged"].keys))
    #expect(Set(Self.worked.map(\.tag.flag)) == Set(PacketFlag.allCases))
  }

  @Test(arguments: worked) func encoding(name: String, tag: Tag, data: [UInt8]) {
    #expect(tag.framed(dataCount: data.count) + data == vectors["tagged", name])
  }

  @Test(arguments: worked) func decoding(name: String, tag: Tag, data: [UInt8]) throws {
    let packet = Array(vectors["tagged", name].dropFirst(Wire.sizePrefix))
    let sender: FirehoseEnd = tag.flag == .kick ? .backend : .relay
    #expect(try decodeTag(packet, from: sender) == tag)
    #expect(Array(packet.dropFirst(Wire.tag)) == data)
  }

  @Test(arguments: worked) func everyTruncationOfTheTagIsRefused(name: String, tag: Tag, data: [UInt8]) {
    let packet = Array(vectors["tagged", name].dropFirst(Wire.sizePrefix))
    for count in 0..<Wire.tag {
      #expect(throws: TaggedPacketError.tooShort(count: count)) {
        try decodeTag(Array(packet.prefix(count)), from: .relay)
      }
    }
  }

  /// Which end may send which flag.
  @Test(
    arguments: [
      (.data, [.relay, .backend]), (.failure, [.relay]), (.kick, [.backend]), (.reconnection, [.relay]),
    ] as [(PacketFlag, [FirehoseEnd])])
  func directions(flag: PacketFlag, senders: [FirehoseEnd]) throws {
    let packet: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, flag.rawValue, 0xaa]
    for sender in [FirehoseEnd.relay, .backend] {
      if senders.contains(sender) {
        #expect(try decodeTag(packet, from: sender) == Tag(clientID: 0x0807_0605_0403_0201, flag: flag))
      } else {
        #expect(throws: TaggedPacketError.wrongDirection(flag)) { try decodeTag(packet, from: sender) }
      }
    }
  }

  @Test(arguments: [FirehoseEnd.relay, .backend]) func unknownFlagIsRefused(sender: FirehoseEnd) {
    for flag in UInt8.min...255 where PacketFlag(rawValue: flag) == nil {
      #expect(throws: TaggedPacketError.unknownFlag(flag)) {
        try decodeTag([0, 0, 0, 0, 0, 0, 0, 0, flag], from: sender)
      }
    }
  }

  @Test func errorsSayWhatIsWrong() {
    let errors: [TaggedPacketError] = [.tooShort(count: 8), .unknownFlag(9), .wrongDirection(.kick)]
    #expect(Set(errors.map(\.description)).count == errors.count)
  }

  @Test func sizePrefix() {
    #expect(Wire.sizePrefixBytes(5) + Array("hello".utf8) == vectors["framed", "data_hello"])
    #expect(Wire.sizePrefixBytes(0) == vectors["framed", "data_empty"])
    #expect(Wire.sizePrefixBytes(0xffff_ffff) == [0xff, 0xff, 0xff, 0xff])
    // With its tag exactly 8 MiB.
    #expect(Wire.defaultMaxPacketSize + Wire.tag == 8 * 1024 * 1024)
  }
}
