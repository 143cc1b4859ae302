import CSodium

/// SipHash-2-4 under a secret key (libsodium's `crypto_shorthash`): anyone who does not know the key can neither tell
/// what a word becomes nor find two that become the same. One of the files with unsafe code: the pointers that are
/// passed live for the call, and point at as many bytes as it reads or writes.
public struct ShortHash: Sendable {
  /// Its 16 bytes.
  private let key: (UInt64, UInt64)

  /// Words of the key and of what is hashed stand for their eight bytes, the least first.
  public init(key: (UInt64, UInt64)) {
    Sodium.prepare()
    self.key = (key.0.littleEndian, key.1.littleEndian)
  }

  /// Of one 64-bit word.
  public func callAsFunction(_ word: UInt64) -> UInt64 { hash(word.littleEndian) }

  /// Of two.
  public func callAsFunction(_ first: UInt64, _ second: UInt64) -> UInt64 {
    hash((first.littleEndian, second.littleEndian))
  }

  private func hash<Words: BitwiseCopyable>(_ words: Words) -> UInt64 {
    var result: UInt64 = 0
    unsafe withUnsafeBytes(of: words) { words in
      unsafe withUnsafeBytes(of: key) { key in
        unsafe withUnsafeMutableBytes(of: &result) { result in
          _ = unsafe crypto_shorthash(
            // None of the three is empty.
            result.baseAddress!.assumingMemoryBound(to: UInt8.self),
            // As above.
            words.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(words.count),
            // As above.
            key.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
      }
    }
    return UInt64(littleEndian: result)
  }
}
