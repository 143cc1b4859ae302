/// A number of bytes as written in settings: `8388599`, `64KiB`, `1MB`.
package struct ByteSize: Equatable, Sendable {
  package var bytes: Int

  private static let units: [(name: String, bytes: Int)] = [
    ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000),
  ]

  package init(bytes: Int) {
    self.bytes = bytes
  }

  /// Reads a whole number, alone or followed by a unit. The case of the unit does not matter.
  package init(_ text: String) throws(Refusal) {
    let unit = Self.units.first { text.lowercased().hasSuffix($0.name.lowercased()) }
    let digits = text.dropLast(unit?.name.count ?? 0)
    guard let number = wholeNumber(digits) else {
      throw .because("it is not a whole number, alone or followed by a unit")
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit?.bytes ?? 1)
    guard !overflow else { throw .because("it is too large") }
    self.bytes = bytes
  }
}

extension ByteSize: CustomStringConvertible {
  /// The shortest exact form: binary units, or plain bytes.
  package var description: String {
    let unit = Self.units.prefix(3).first { bytes > 0 && bytes % $0.bytes == 0 }
    return unit.map { "\(bytes / $0.bytes)\($0.name)" } ?? "\(bytes)"
  }
}

/// The number that `digits` spell, all of them: Int's own initialiser would accept a sign too.
package func wholeNumber(_ digits: some StringProtocol) -> Int? {
  digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(digits) : nil
}
