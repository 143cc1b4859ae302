/// Why a key is rejected, or cannot be made.
public enum KeyError: Error, Equatable, Sendable {
  /// A public key of `byteCount` bytes, or with a first byte that does not match its length: 33 bytes go with 2 or 3,
  /// and 65 bytes with 4. The hybrid tags 6 and 7 are rejected.
  case invalidEncoding(byteCount: Int, tag: UInt8?)
  /// The encoding is valid, but no point of the curve has these coordinates.
  case notOnCurve
  /// A secret key that is not 32 bytes long.
  case invalidSecretLength(Int)
  /// The text form of a secret key, with a length other than 64 digits.
  case invalidTextLength(Int)
  /// The text form of a secret key, with something that is not a hexadecimal digit.
  case notHexadecimal
  /// A secret key that is zero, or not below the order of the curve.
  case invalidScalar
  /// The system has no guarded memory for a secret key.
  case noMemory
}

extension KeyError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .invalidEncoding(let count, nil): "a public key of \(count) bytes; 33 or 65 are allowed"
    case .invalidEncoding(let count, let tag?):
      "a public key of \(count) bytes with the tag \(tag); 33 bytes go with 2 or 3, 65 with 4"
    case .notOnCurve: "the public key is not a point of the curve secp256k1"
    case .invalidSecretLength(let count): "a secret key of \(count) bytes; 32 are allowed"
    case .invalidTextLength(let count): "a secret key of \(count) characters; 64 hexadecimal digits are allowed"
    case .notHexadecimal: "the secret key has a character that is not a hexadecimal digit"
    case .invalidScalar: "the secret key is zero or not below the order of the curve secp256k1"
    case .noMemory: "there is no memory for a secret key (four pages are needed)"
    }
  }
}
