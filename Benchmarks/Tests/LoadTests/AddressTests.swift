import Testing

@testable import Load

struct AddressTests {
  @Test(arguments: ["127.0.0.1:7001", "localhost:0", "[::1]:65535", "unix:/tmp/relay.sock"])
  func `an address reads back as it was written`(text: String) throws {
    #expect(try Address(text).description == text)
  }

  @Test(arguments: ["", "localhost", ":7001", "localhost:", "localhost:65536", "localhost:x", "unix:"])
  func `anything else is refused`(text: String) {
    #expect(throws: BenchError.self) { try Address(text) }
  }
}
