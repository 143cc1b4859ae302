/// XChaCha20-Poly1305 (IETF, without associated data) of a challenge's 32 bytes. The nonce comes last:
///
///     0            32             48       72
///     +------------+--------------+--------+
///     | ciphertext | Poly1305 tag | nonce  |
///     +------------+--------------+--------+
public enum SealedBox {
  /// Bytes of what is sealed, of a nonce, and of the box.
  public static let plainByteCount = 32
  public static let nonceByteCount = 24
  public static let byteCount = 72

  static let nonceOffset = byteCount - nonceByteCount

  public typealias Plain = InlineArray<32, UInt8>
  public typealias Nonce = InlineArray<24, UInt8>
  public typealias Bytes = InlineArray<72, UInt8>

  /// Seals the 32 bytes of `plain`. A nonce must never be used twice with a key: draw it at random.
  public static func seal(_ plain: RawSpan, key: SessionKey, nonce: Nonce) -> Bytes {
    // The caller's constant.
    precondition(plain.byteCount == plainByteCount, "a challenge has 32 bytes")
    return XChaCha.seal(plain, key: key, nonce: nonce)
  }

  /// The 32 bytes in `box`; nil if `box` does not have 72 bytes, or was not sealed with `key`.
  ///
  /// Code that verifies the response to a challenge must also reject a response with the challenge's own nonce: the
  /// challenge sent back unread opens to the right bytes.
  public static func open(_ box: RawSpan, key: SessionKey) -> Plain? {
    guard let nonce = nonce(of: box) else { return nil }
    return XChaCha.open(box.extracting(0..<nonceOffset), key: key, nonce: nonce)
  }

  /// The nonce of `box`; nil if it does not have 72 bytes.
  public static func nonce(of box: RawSpan) -> Nonce? {
    guard box.byteCount == byteCount else { return nil }
    return Nonce { box.byte(at: nonceOffset + $0) }
  }
}
