/// Bounds-checked reads of little-endian integers at any alignment.
extension RawSpan {
  @inlinable @inline(__always)
  public func byte(at offset: Int) -> UInt8 {
    load(at: offset)
  }

  @inlinable @inline(__always)
  public func littleEndianUInt16(at offset: Int) -> UInt16 {
    UInt16(littleEndian: load(at: offset))
  }

  @inlinable @inline(__always)
  public func littleEndianUInt32(at offset: Int) -> UInt32 {
    UInt32(littleEndian: load(at: offset))
  }

  @inlinable @inline(__always)
  public func littleEndianUInt64(at offset: Int) -> UInt64 {
    UInt64(littleEndian: load(at: offset))
  }

  /// Inlinable, because its callers' bodies are compiled into other modules: there a call would go to the one copy that
  /// is not specialised, which costs ten times as much.
  ///
  /// `unsafeLoadUnaligned` checks the bounds but not that every bit pattern is a value of the type: the callers above
  /// ask for integers only, for which that always holds.
  @inlinable @inline(__always)
  func load<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> T {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
  }
}
