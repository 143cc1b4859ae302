/// The fuzzer's bytes, read as what is to be done.
struct FuzzScript {
  private let bytes: [UInt8]
  private var index = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isOver: Bool { index >= bytes.count }

  /// The next byte, 0 where there is none.
  mutating func byte() -> UInt8 {
    guard index < bytes.count else { return 0 }
    index += 1
    return bytes[index - 1]
  }

  mutating func below(_ bound: Int) -> Int { bound > 0 ? Int(byte()) % bound : 0 }

  /// As many bytes as the next one says, as far as there are.
  mutating func piece() -> [UInt8] {
    let count = min(Int(byte()), bytes.count - index)
    index += count
    return Array(bytes[(index - count)..<index])
  }
}
