import Testing
import Vectors
import VoltlaneCrypto

@Suite struct KeyTests {
  let vectors = Vectors.shared

  @Test(arguments: ["server", "client"])
  func publicKeyOfSecret(owner: String) throws {
    let secret = try SecretKey(bytes: vectors["keys", "\(owner)_secret"].span.bytes)
    #expect(secret.publicKey.compressed == vectors["keys", "\(owner)_public_compressed"])
  }

  @Test(arguments: ["server", "client"])
  func bothEncodingsAreTheSameKey(owner: String) throws {
    let short = try PublicKey(sec1: vectors["keys", "\(owner)_public_compressed"].span.bytes)
    let long = try PublicKey(sec1: vectors["keys", "\(owner)_public_uncompressed"].span.bytes)
    #expect(short == long)
    #expect(long.compressed == vectors["keys", "\(owner)_public_compressed"])
    #expect(short.withCompressed { $0.byteCount } == 33)
  }

  @Test func oddYIsKept() throws {
    // The same x with the other tag is the negated point: another key, and as valid.
    var bytes = vectors["keys", "server_public_compressed"]
    bytes[0] ^= 1
    let key = try PublicKey(sec1: bytes.span.bytes)
    #expect(key.compressed == bytes)
    #expect(key != (try PublicKey(sec1: vectors["keys", "server_public_compressed"].span.bytes)))
  }

  @Test func shortKeyWithOtherTagIsRefused() {
    var bytes = vectors["keys", "server_public_compressed"]
    for tag in UInt8.min...UInt8.max where tag != 2 && tag != 3 {
      bytes[0] = tag
      #expect(throws: KeyError.invalidEncoding(byteCount: 33, tag: tag)) { try PublicKey(sec1: bytes.span.bytes) }
    }
  }

  /// Hybrid keys (6, 7) are among them: with the right parity libsecp256k1 itself would take them.
  @Test func longKeyWithOtherTagIsRefused() {
    var bytes = vectors["keys", "server_public_uncompressed"]
    for tag in UInt8.min...UInt8.max where tag != 4 {
      bytes[0] = tag
      #expect(throws: KeyError.invalidEncoding(byteCount: 65, tag: tag)) { try PublicKey(sec1: bytes.span.bytes) }
    }
  }

  @Test func keyOfOtherLengthIsRefused() {
    let bytes = vectors["keys", "server_public_uncompressed"] + [0]
    for count in 0...66 where count != 33 && count != 65 {
      let part = Array(bytes.prefix(count))
      #expect(throws: KeyError.invalidEncoding(byteCount: count, tag: nil)) { try PublicKey(sec1: part.span.bytes) }
    }
  }

  @Test func pointOffTheCurveIsRefused() {
    // x = 5 has no y on secp256k1.
    let noPoint: [UInt8] = [2] + Array(repeating: 0, count: 31) + [5]
    #expect(throws: KeyError.notOnCurve) { try PublicKey(sec1: noPoint.span.bytes) }

    let tooLarge: [UInt8] = [2] + Array(repeating: 0xff, count: 32)
    #expect(throws: KeyError.notOnCurve) { try PublicKey(sec1: tooLarge.span.bytes) }

    var wrongY = vectors["keys", "server_public_uncompressed"]
    wrongY[64] ^= 1
    #expect(throws: KeyError.notOnCurve) { try PublicKey(sec1: wrongY.span.bytes) }
  }

  @Test func secretThatIsNoScalarIsRefused() {
    let order = bytes(hex: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
    for scalar in [Array(repeating: 0, count: 32), order, Array(repeating: 0xff, count: 32)] {
      #expect(throws: KeyError.invalidScalar) { try SecretKey(bytes: scalar.span.bytes) }
    }
    var last = order
    last[31] -= 1
    #expect(throws: Never.self) { try SecretKey(bytes: last.span.bytes) }
  }

  @Test(arguments: [0, 31, 33]) func secretOfOtherLengthIsRefused(count: Int) {
    let bytes = [UInt8](repeating: 1, count: count)
    #expect(throws: KeyError.invalidSecretLength(count)) { try SecretKey(bytes: bytes.span.bytes) }
  }

  @Test func textFormIsReadAndWritten() throws {
    let digits = "e331b6d69882b4cb4ea581d88e0b604039a3de5967688d3dcffdd2270c0fd109"
    for text in [digits, digits.uppercased()] {
      let key = try SecretKey(hexadecimal: Array(text.utf8).span)
      #expect(key.publicKey == (try SecretKey(bytes: bytes(hex: digits).span.bytes)).publicKey)
      var written = Array("<\(String(repeating: " ", count: 64))>".utf8)
      var span = written.mutableSpan
      key.writeHexadecimal(into: &span, at: 1)
      #expect(String(decoding: written, as: UTF8.self) == "<\(digits)>")
    }
  }

  @Test func malformedTextFormIsRefused() {
    for count in [0, 63, 65, 66] {
      let text = [UInt8](repeating: UInt8(ascii: "1"), count: count)
      #expect(throws: KeyError.invalidTextLength(count)) { try SecretKey(hexadecimal: text.span) }
    }
    for character in "g/:@G`\u{e9}\0 " {
      let text = Array((String(repeating: "1", count: 62) + String(character) + "1").utf8.suffix(64))
      #expect(throws: KeyError.notHexadecimal) { try SecretKey(hexadecimal: text.span) }
    }
    let zero = [UInt8](repeating: UInt8(ascii: "0"), count: 64)
    #expect(throws: KeyError.invalidScalar) { try SecretKey(hexadecimal: zero.span) }
  }

  @Test func generatedKeysDifferAndAgree() throws {
    let one = try SecretKey.generate()
    let other = try SecretKey.generate()
    #expect(one.publicKey != other.publicKey)
    let plain = [UInt8](0..<32)
    let box = SealedBox.seal(
      plain.span.bytes, key: one.sessionKey(with: other.publicKey), nonce: SecureRandom.bytes())
    let opened = open(Array(box), key: other.sessionKey(with: one.publicKey))
    #expect(opened == plain)
  }

  @Test func errorsSayWhatIsAllowed() {
    #expect(KeyError.invalidEncoding(byteCount: 65, tag: 6).description.contains("65 with 4"))
    #expect(KeyError.invalidEncoding(byteCount: 7, tag: nil).description.contains("33 or 65"))
  }
}
