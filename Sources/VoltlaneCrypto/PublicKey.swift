import VoltlaneText

/// A point of the curve secp256k1, known to lie on it.
///
/// A plain value of 33 bytes, so that a session table can hold it. Anything that needs the uncompressed point computes
/// it anew, which costs a tenth of the key agreement that follows.
public struct PublicKey: Sendable, BitwiseCopyable {
  /// Bytes of the compressed encoding.
  public static let byteCount = 33

  /// SEC1, compressed: the tag 2 or 3, then the 32 bytes of x, big-endian.
  @usableFromInline let storage: InlineArray<33, UInt8>

  /// Reads a SEC1 encoding: 33 bytes with tag 2 or 3, or 65 bytes with tag 4.
  public init(sec1 bytes: RawSpan) throws(KeyError) {
    guard bytes.byteCount == 33 || bytes.byteCount == 65 else {
      throw .invalidEncoding(byteCount: bytes.byteCount, tag: nil)
    }
    switch (bytes.byteCount, bytes.byte(at: 0)) {
    case (33, 2), (33, 3), (65, 4): break
    // libsecp256k1 would accept the hybrid tags 6 and 7.
    case (let count, let tag): throw .invalidEncoding(byteCount: count, tag: tag)
    }
    guard let storage = Curve.compressed(bytes) else { throw .notOnCurve }
    self.storage = storage
  }

  init(storage: InlineArray<33, UInt8>) {
    self.storage = storage
  }

  /// The 33 bytes of the compressed encoding.
  public var compressed: [UInt8] {
    storage.indices.map { storage[$0] }
  }

  /// Calls `body` with the 33 bytes of the compressed encoding, without a copy of them.
  public func withCompressed<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try storage.withBytes(body)
  }
}

extension PublicKey: Equatable {
  public static func == (one: PublicKey, other: PublicKey) -> Bool {
    one.storage.indices.allSatisfy { one.storage[$0] == other.storage[$0] }
  }
}

extension PublicKey: CustomStringConvertible {
  /// The compressed encoding in hexadecimal.
  public var description: String { hexadecimal(compressed) }
}
