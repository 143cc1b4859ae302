// A client's id as people read it: 16 hexadecimal digits, in the relay's log and everywhere else.

extension String {
  /// The id in 16 lower-case hexadecimal digits.
  public init(clientID: UInt64) {
    self = hexadecimal(clientID)
  }
}

extension UInt64 {
  /// Reads the 16 hexadecimal digits, in either case; nil for anything else.
  public init?(clientID text: some StringProtocol) {
    guard let read = bytes(hexadecimal: text), read.count == 8 else { return nil }
    self = read.reduce(0) { $0 << 8 | UInt64($1) }
  }
}
