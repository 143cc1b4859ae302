import Testing
import VoltlaneCrypto

/// The vectors of the hash's authors: the key is the bytes 0 to 15, the text as many from 0 on.
@Suite struct ShortHashTests {
  private let hash = ShortHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))

  @Test func vectors() {
    #expect(hash(0x0706_0504_0302_0100) == 0x93f5_f579_9a93_2462)
    #expect(hash(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908) == 0x3f2a_cc7f_57c2_9bdb)
  }

  /// Both halves of the key count, and so does each word.
  @Test func everyPartCounts() {
    let others = [
      ShortHash(key: (1, 0))(2), ShortHash(key: (0, 1))(2), ShortHash(key: (0, 0))(2), ShortHash(key: (0, 0))(2, 0),
      ShortHash(key: (0, 0))(0, 2), ShortHash(key: (0, 0))(2, 2),
    ]
    #expect(Set(others).count == others.count)
  }
}
