/// A packet's data as an expectation compares it. Not an array: where two long arrays differ, the testing library looks
/// for the shortest edit between them, which takes for ever.
struct Received: Equatable, CustomStringConvertible {
  let bytes: [UInt8]

  static func == (received: Received, expected: [UInt8]) -> Bool { received.bytes == expected }

  var description: String { "\(bytes.count) bytes, \(bytes.prefix(16))" }
}
