import CSodium

/// libsodium, behind functions that take and return values. One of the files with unsafe code: every pointer that is
/// passed points to as many bytes as the function reads or writes (checked where the caller chooses the count), and
/// none is kept beyond the call.
enum Sodium {
  /// libsodium requires one call before all others; the initialiser of a static runs once.
  static let isReady: Bool = sodium_init() >= 0

  @inline(__always)
  static func prepare() {
    // Only fails if the system has no random numbers, which shows at the start, with the relay's key.
    precondition(isReady, "libsodium could not be initialised: no source of random numbers")
  }
}

/// HKDF-SHA256 (RFC 5869) as the protocol uses it. libsodium 1.0.18 has HMAC-SHA256 and no HKDF.
enum HKDF {
  /// Salt and info are the same twelve bytes.
  private static let label: StaticString = "VOLTLANE.NET"

  /// Extract, then one round of expand, for a result of 32 bytes:
  ///
  ///     prk    = HMAC(key: salt, input)
  ///     result = HMAC(key: prk, info || 0x01)
  static func deriveSessionKey(from input: HeapSecret, into result: HeapSecret) {
    let prk = HeapSecret()
    var state = crypto_auth_hmacsha256_state()
    defer { unsafe sodium_memzero(&state, MemoryLayout.size(ofValue: state)) }
    unsafe crypto_auth_hmacsha256_init(&state, label.utf8Start, label.utf8CodeUnitCount)
    unsafe input.withBytes {
      _ = unsafe crypto_auth_hmacsha256_update(&state, $0, UInt64(HeapSecret.byteCount))
    }
    unsafe prk.withBytes { _ = unsafe crypto_auth_hmacsha256_final(&state, $0) }

    var round: UInt8 = 1
    unsafe prk.withBytes { _ = unsafe crypto_auth_hmacsha256_init(&state, $0, HeapSecret.byteCount) }
    unsafe crypto_auth_hmacsha256_update(&state, label.utf8Start, UInt64(label.utf8CodeUnitCount))
    unsafe crypto_auth_hmacsha256_update(&state, &round, 1)
    unsafe result.withBytes { _ = unsafe crypto_auth_hmacsha256_final(&state, $0) }
  }
}

/// SHA-256 of bytes that are no secret.
public enum SHA256 {
  public static func hash(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: 32)
    unsafe hash.withUnsafeMutableBufferPointer { hash in
      unsafe bytes.withUnsafeBufferPointer { bytes in
        // It has 32 bytes.
        _ = unsafe crypto_hash_sha256(hash.baseAddress!, bytes.baseAddress, UInt64(bytes.count))
      }
    }
    return hash
  }
}

/// The cipher of ``SealedBox``.
enum XChaCha {
  static func seal(_ plain: RawSpan, key: HeapSecret, nonce: SealedBox.Nonce) -> SealedBox.Bytes {
    // SealedBox has looked.
    precondition(plain.byteCount == SealedBox.plainByteCount)
    var box = SealedBox.Bytes { $0 < SealedBox.nonceOffset ? 0 : nonce[$0 - SealedBox.nonceOffset] }
    var span = box.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { box in
      // An array of 72 bytes is not empty.
      let base = box.baseAddress!
      unsafe plain.withUnsafeBytes { plain in
        // Writes ciphertext and tag, 48 bytes; it cannot fail.
        _ = unsafe key.withBytes { key in
          unsafe crypto_aead_xchacha20poly1305_ietf_encrypt(
            // It has 32 bytes.
            base, nil, plain.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(plain.count), nil, 0, nil,
            base + SealedBox.nonceOffset, key)
        }
      }
    }
    return box
  }

  /// `sealed` is the 48 bytes of ciphertext and tag.
  static func open(_ sealed: RawSpan, key: HeapSecret, nonce: SealedBox.Nonce) -> SealedBox.Plain? {
    // SealedBox has looked.
    precondition(sealed.byteCount == SealedBox.nonceOffset)
    var plain = SealedBox.Plain(repeating: 0)
    var span = plain.mutableSpan
    let opened = unsafe span.withUnsafeMutableBufferPointer { plain in
      unsafe sealed.withUnsafeBytes { sealed in
        unsafe nonce.span.withUnsafeBufferPointer { nonce in
          unsafe key.withBytes { key in
            unsafe crypto_aead_xchacha20poly1305_ietf_decrypt(
              // All three have a length that is fixed or was checked.
              plain.baseAddress!, nil, nil, sealed.baseAddress!.assumingMemoryBound(to: UInt8.self),
              // As above.
              UInt64(sealed.count), nil, 0, nonce.baseAddress!, key)
          }
        }
      }
    }
    return opened == 0 ? plain : nil
  }
}

/// Comparison of secrets.
public enum ConstantTime {
  /// Whether both have the same bytes, in a time that depends only on their length.
  public static func areEqual(_ one: RawSpan, _ other: RawSpan) -> Bool {
    guard one.byteCount == other.byteCount else { return false }
    guard one.byteCount > 0 else { return true }
    Sodium.prepare()
    return unsafe one.withUnsafeBytes { one in
      unsafe other.withUnsafeBytes { other in
        // Neither is empty.
        unsafe sodium_memcmp(one.baseAddress!, other.baseAddress!, one.count) == 0
      }
    }
  }
}

/// The system's random numbers, good enough for keys, nonces and challenges. Any thread may ask for them.
public enum SecureRandom {
  /// `count` random bytes; at least one.
  public static func bytes<let count: Int>() -> InlineArray<count, UInt8> {
    // A constant of the caller's.
    precondition(count > 0)
    Sodium.prepare()
    var bytes = InlineArray<count, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    // Not empty, as was just seen.
    unsafe span.withUnsafeMutableBufferPointer { unsafe randombytes_buf($0.baseAddress!, $0.count) }
    return bytes
  }
}
