/// Two ways of reading bytes that the standard library calls unsafe for types in general: the first because not every
/// bit pattern may be a value, the second because a value may have padding. Neither applies to UInt8.
extension RawSpan {
  /// The byte at `offset`, bounds checked.
  func byte(at offset: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }
}

extension InlineArray where Element == UInt8 {
  func withBytes<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
    try body(unsafe span.bytes)
  }
}
