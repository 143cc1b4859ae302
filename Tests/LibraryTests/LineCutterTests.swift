import NIOCore
import Testing

@testable import VoltlaneConnect

@Suite struct LineCutterTests {
  @Test func everyCutOfTheInput() throws {
    let input = Array("one\n\ntwo words\r\nlast".utf8)
    for first in 0...input.count {
      for second in first...input.count {
        var cutter = LineCutter(maximum: 20)
        var lines: [String] = []
        for part in [input[..<first], input[first..<second], input[second...]] {
          cutter.append(ByteBuffer(bytes: part))
          while let line = try cutter.next() { lines.append(String(buffer: line)) }
        }
        #expect(lines == ["one", "", "two words\r"], "cut at \(first) and \(second)")
        #expect(cutter.rest().map { String(buffer: $0) } == "last")
        #expect(cutter.rest() == nil)
      }
    }
  }

  @Test func aLineOfTheLargestSizeAndOneMore() throws {
    var cutter = LineCutter(maximum: 3)
    cutter.append(ByteBuffer(string: "a\n123\n1234\n"))
    #expect(try cutter.next() != nil)
    #expect(try cutter.next().map { String(buffer: $0) } == "123")
    #expect { try cutter.next() } throws: { ($0 as? LineTooLong)?.line == 3 }
  }

  @Test func aLineWithoutAnEndIsNotHeldForEver() throws {
    var cutter = LineCutter(maximum: 3)
    cutter.append(ByteBuffer(string: "123"))
    #expect(try cutter.next() == nil)
    cutter.append(ByteBuffer(string: "4"))
    #expect { try cutter.next() } throws: { ($0 as? LineTooLong)?.line == 1 }
  }
}
