import Testing

@testable import Load

struct PacketSizesTests {
  @Test(arguments: ["64", "0", "64:70,1024:25,16384:5"])
  func `sizes read back as they were written`(text: String) throws {
    #expect(try PacketSizes(text).description == text)
  }

  @Test(arguments: ["", "x", "-1", "64:", "64:0", "64,,3", "1:2:3", "16777217"])
  func `anything else is refused`(text: String) {
    #expect(throws: BenchError.self) { try PacketSizes(text) }
  }

  @Test func `every size has its share, and one packet at least`() throws {
    let table = try PacketSizes("10:3,20:1,30:1000000").table(4096)
    #expect(table.count == 4096)
    #expect(Set(table) == [10, 20, 30])
    let even = try PacketSizes("10:3,20:1").table(4096)
    #expect(even.count { $0 == 10 } == 3072)
    #expect(even.count { $0 == 20 } == 1024)
  }
}
