import CSecp256k1

/// libsecp256k1, behind functions that take and return values. One of the files with unsafe code: every pointer that is
/// passed points to as many bytes as the function reads or writes (the sizes are those of the types here), and none is
/// kept beyond the call, except the context, which lives as long as the process.
enum Curve {
  /// One context for the process. It is created and randomised before anyone sees it (the initialiser of a static runs
  /// once, and others wait for it) and never changed afterwards: libsecp256k1 allows any number of threads to use such
  /// a context. Randomising protects the computation of public keys against side channels.
  private nonisolated(unsafe) static let context: OpaquePointer = {
    guard let context = unsafe secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE)) else {
      // At the start, when the relay's key is made or read.
      preconditionFailure("libsecp256k1: no memory for a context")
    }
    let seed = HeapSecret()
    seed.fillRandomly()
    let blinded = unsafe seed.withBytes { unsafe secp256k1_context_randomize(context, $0) }
    // Fails only for a context that cannot be written.
    precondition(blinded == 1, "libsecp256k1: a context could not be randomised")
    return unsafe context
  }()

  /// The compressed encoding of the point that `bytes` encodes; nil if it is not on the curve.
  static func compressed(_ bytes: RawSpan) -> InlineArray<33, UInt8>? {
    guard let point = parse(bytes) else { return nil }
    return encode(point)
  }

  /// The public key for the 32 bytes in `secret`; nil if they are not a scalar of the curve.
  static func publicKey(of secret: borrowing GuardedMemory) -> PublicKey? {
    // Both callers give it 32 bytes.
    precondition(secret.byteCount == 32)
    var point = secp256k1_pubkey()
    guard unsafe secp256k1_ec_pubkey_create(context, &point, secret.constantBytes) == 1 else { return nil }
    return PublicKey(storage: encode(point))
  }

  /// Writes the x coordinate of the shared point, 32 bytes, to `result`.
  static func sharedX(of secret: borrowing GuardedMemory, with key: PublicKey, into result: HeapSecret) {
    // The same secret, by now a key's.
    precondition(secret.byteCount == 32)
    // Both were checked when they were made, so neither can fail.
    guard var point = key.withCompressed(parse) else { preconditionFailure("a public key off the curve") }
    // libsecp256k1's own hash would hash x and the parity of y; the protocol wants x as it is.
    let copyX:
      @convention(c) (
        UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UnsafePointer<UInt8>?, UnsafeMutableRawPointer?
      ) -> Int32 = { output, x, _, _ in
        guard let output = unsafe output, let x = unsafe x else { return 0 }
        unsafe output.update(from: x, count: 32)
        return 1
      }
    let agreed = unsafe result.withBytes { result in
      unsafe secp256k1_ecdh(context, result, &point, secret.constantBytes, copyX, nil)
    }
    // The secret is a scalar, otherwise there would be no such key.
    precondition(agreed == 1, "a secret key that is not a scalar")
  }

  private static func parse(_ bytes: RawSpan) -> secp256k1_pubkey? {
    var point = secp256k1_pubkey()
    let parsed = unsafe bytes.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return Int32(0) }
      return unsafe secp256k1_ec_pubkey_parse(
        context, &point, base.assumingMemoryBound(to: UInt8.self), buffer.count)
    }
    return parsed == 1 ? point : nil
  }

  private static func encode(_ point: secp256k1_pubkey) -> InlineArray<33, UInt8> {
    var point = point
    var bytes = InlineArray<33, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { buffer in
      var count = buffer.count
      // Writing a valid point to enough room cannot fail.
      _ = unsafe secp256k1_ec_pubkey_serialize(
        // An array of 33 bytes is not empty.
        context, buffer.baseAddress!, &count, &point, UInt32(SECP256K1_EC_COMPRESSED))
    }
    return bytes
  }
}
