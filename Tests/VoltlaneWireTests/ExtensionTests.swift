import Testing
import Vectors
import VoltlaneWire

@Suite struct ExtensionTests {
  let vectors = Vectors.shared
  private let id: UInt64 = 0x1122_3344_5566_7788

  @Test func everyWorkedPacketIsTested() {
    #expect(
      Set(vectors["extensions"].keys) == [
        "away", "volatile", "multicast", "multicast_empty_packet_no_ids", "address_v4", "address_v6",
        "address_unknown",
      ])
  }

  @Test func multicasts() {
    let ids: [UInt64] = [id, 0x99aa_bbcc_ddee_ff00]
    #expect(
      Multicast.framed(to: ids, isVolatile: true, dataCount: 3) + Array("all".utf8)
        == vectors["extensions", "multicast"]
    )
    #expect(
      Multicast.framed(to: [], isVolatile: false, dataCount: 0)
        == vectors["extensions", "multicast_empty_packet_no_ids"])
  }

  @Test func addresses() throws {
    for (name, expected) in [
      "address_v4": PeerAddress.v4([192, 0, 2, 7], port: 50_000),
      "address_v6": .v6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], port: 50_000),
      "address_unknown": .unknown,
    ] {
      let packet = Array(vectors["extensions", name].dropFirst(Wire.sizePrefix))
      #expect(packet[8] == ExtensionFlag.address.rawValue)
      let data = Array(packet.dropFirst(Wire.tag))
      #expect(PeerAddress(data.span.bytes) == expected)
      for count in 0..<data.count { #expect(PeerAddress(Array(data.prefix(count)).span.bytes) == nil) }
      #expect(PeerAddress((data + [0]).span.bytes) == nil)
    }
    #expect(PeerAddress([5, 0, 0].span.bytes) == nil)
  }
}
