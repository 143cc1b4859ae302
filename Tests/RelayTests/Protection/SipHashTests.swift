import Testing

@testable import Relay

/// The vectors of the hash's authors: the key is the bytes 0 to 15, the text as many from 0 on.
@Suite struct SipHashTests {
  @Test func vectors() {
    var key: [UInt64] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]
    let hash = SipHash { key.removeFirst() }
    #expect(hash(0x0706_0504_0302_0100) == 0x93f5_f579_9a93_2462)
    #expect(hash(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908) == 0x3f2a_cc7f_57c2_9bdb)
  }
}
