import Testing

@testable import VoltlaneText

@Suite struct HexadecimalTests {
  @Test func bytesAndBack() {
    let bytes: [UInt8] = [0, 1, 0x0f, 0x10, 0xab, 0xff]
    #expect(hexadecimal(bytes) == "00010f10abff")
    #expect(VoltlaneText.bytes(hexadecimal: "00010f10abff") == bytes)
    #expect(VoltlaneText.bytes(hexadecimal: "00010F10ABFF") == bytes)
    #expect(VoltlaneText.bytes(hexadecimal: "") == [])
  }

  @Test(arguments: ["0", "0g", "0x00", " 00", "\u{0660}0"])
  func noHexadecimal(text: String) {
    #expect(bytes(hexadecimal: text) == nil)
  }

  @Test(
    arguments: [
      (0, "0000000000000000"), (0x1f, "000000000000001f"), (.max, "ffffffffffffffff"),
      (0xfeed_face_cafe_beef, "feedfacecafebeef"),
    ] as [(UInt64, String)])
  func clientID(id: UInt64, text: String) {
    #expect(String(clientID: id) == text)
    #expect(UInt64(clientID: text) == id)
  }

  /// Neither in decimal nor short of its zeros.
  @Test(arguments: ["", "1f", "18369614221190020847", "0x00000000000001f", "feedfacecafebeeg"])
  func noClientID(text: String) {
    #expect(UInt64(clientID: text) == nil)
  }
}
