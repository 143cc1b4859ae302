import Glibc

/// Why a measurement could not be made. The text is for the person at the terminal.
public struct BenchError: Error, CustomStringConvertible {
  public var description: String

  public init(_ description: String) {
    self.description = description
  }

  /// `what` failed with the current `errno`, or with `code`.
  static func system(_ what: String, code: Int32 = errno) -> BenchError {
    BenchError("\(what): \(String(cString: strerror(code)))")
  }
}
