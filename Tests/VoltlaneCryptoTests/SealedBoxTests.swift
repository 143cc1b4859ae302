import Testing
import Vectors
import VoltlaneCrypto

@Suite struct SealedBoxTests {
  let vectors = Vectors.shared
  let key = SessionKey(bytes: Vectors.shared["ecdh", "session_key"].span.bytes)

  @Test(arguments: [("nonce", "box"), ("response_nonce", "response_box")])
  func workedBytes(nonceName: String, boxName: String) throws {
    let plain = vectors["challenge", "plain"]
    let drawn = vectors["challenge", nonceName]
    let expected = vectors["challenge", boxName]
    let box = SealedBox.seal(plain.span.bytes, key: key, nonce: SealedBox.Nonce { drawn[$0] })
    #expect(Array(box) == expected)
    #expect(try #require(open(expected, key: key)) == plain)
    #expect(try #require(nonce(of: expected)) == drawn)
  }

  @Test func everyFlippedBitIsNoticed() {
    let box = vectors["challenge", "box"]
    for bit in 0..<(box.count * 8) {
      var changed = box
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(open(changed, key: key) == nil, "bit \(bit)")
    }
  }

  @Test func otherLengthsAreRefused() {
    let box = vectors["challenge", "box"] + [0]
    for count in 0...73 where count != 72 {
      let part = Array(box.prefix(count))
      #expect(open(part, key: key) == nil)
      #expect(nonce(of: part) == nil)
    }
  }

  @Test func otherKeyDoesNotOpen() {
    var bytes = vectors["ecdh", "session_key"]
    bytes[0] ^= 1
    let other = SessionKey(bytes: bytes.span.bytes)
    #expect(open(vectors["challenge", "box"], key: other) == nil)
  }

  @Test func comparison() {
    let bytes = vectors["challenge", "plain"]
    #expect(areEqual(bytes, bytes))
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= 0x80
      #expect(!areEqual(bytes, changed))
    }
    let short = Array(bytes.dropLast())
    #expect(!areEqual(bytes, short))
    let empty: [UInt8] = []
    #expect(areEqual(empty, empty))
  }

  @Test func randomBytesDiffer() {
    let one: InlineArray<32, UInt8> = SecureRandom.bytes()
    let other: InlineArray<32, UInt8> = SecureRandom.bytes()
    #expect(Array(one) != Array(other))
  }
}
