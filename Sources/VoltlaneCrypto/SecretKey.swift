/// The secret half of a key pair of the curve secp256k1.
///
/// Its 32 bytes are kept in guarded memory that is locked against swapping, left out of core dumps, and wiped when the
/// last reference goes away. A class, so that there is only one copy of them.
public final class SecretKey: Sendable {
  /// Bytes of a secret key.
  public static let byteCount = 32
  /// Digits of its text form.
  public static let hexadecimalCount = 64

  private let memory: GuardedMemory
  public let publicKey: PublicKey

  /// Whether the system agreed to keep the key out of swap. False if RLIMIT_MEMLOCK (`ulimit -l`) is used up: the key
  /// works and is wiped all the same, and the program should warn.
  public var isLocked: Bool { memory.isLocked }

  /// A new key from the system's random numbers. Throws ``KeyError/noMemory`` only.
  public static func generate() throws(KeyError) -> SecretKey {
    let memory = try GuardedMemory(byteCount: byteCount)
    // A number that is not a scalar comes up once in 2^128 draws.
    while true {
      memory.fillRandomly()
      if let key = Curve.publicKey(of: memory) { return SecretKey(memory: memory, publicKey: key) }
    }
  }

  /// A key from its 32 bytes, big-endian. It is up to the caller to wipe its own copy.
  public convenience init(bytes: RawSpan) throws(KeyError) {
    guard bytes.byteCount == SecretKey.byteCount else { throw .invalidSecretLength(bytes.byteCount) }
    let memory = try GuardedMemory(byteCount: SecretKey.byteCount)
    memory.fill(from: bytes)
    guard let key = Curve.publicKey(of: memory) else { throw .invalidScalar }
    self.init(memory: memory, publicKey: key)
  }

  /// A key from its text form: 64 hexadecimal digits, in upper or lower case. It is up to the caller to wipe its own
  /// copy.
  public convenience init(hexadecimal digits: Span<UInt8>) throws(KeyError) {
    guard digits.count == SecretKey.hexadecimalCount else { throw .invalidTextLength(digits.count) }
    let memory = try GuardedMemory(byteCount: SecretKey.byteCount)
    try memory.withMutableSpan { bytes throws(KeyError) in
      for index in 0..<SecretKey.byteCount {
        guard let high = value(ofDigit: digits[2 * index]), let low = value(ofDigit: digits[2 * index + 1]) else {
          throw .notHexadecimal
        }
        bytes[index] = high << 4 | low
      }
    }
    guard let key = Curve.publicKey(of: memory) else { throw .invalidScalar }
    self.init(memory: memory, publicKey: key)
  }

  private init(memory: consuming GuardedMemory, publicKey: PublicKey) {
    self.memory = memory
    self.publicKey = publicKey
  }

  /// A copy of the 32 bytes, big-endian, to be saved where nobody else can read it. It is up to the caller to protect
  /// the copy: it is neither locked against swapping nor wiped.
  public func copyBytes() -> [UInt8] {
    memory.withSpan { bytes in bytes.indices.map { bytes[$0] } }
  }

  /// Writes the text form to `text`, from `offset` on: ``hexadecimalCount`` lower-case digits. They are as secret as
  /// the key: ``SecretBytes`` keeps them so.
  public func writeHexadecimal(into text: inout MutableSpan<UInt8>, at offset: Int) {
    memory.withSpan { bytes in
      for index in 0..<SecretKey.byteCount {
        text[offset + 2 * index] = digit(of: bytes[index] >> 4)
        text[offset + 2 * index + 1] = digit(of: bytes[index] & 15)
      }
    }
  }

  /// The key of the session with the owner of `other`: HKDF-SHA256 of the x coordinate of the shared point. Both sides
  /// get the same key. It takes about 50 us.
  public func sessionKey(with other: PublicKey) -> SessionKey {
    let shared = HeapSecret()
    Curve.sharedX(of: memory, with: other, into: shared)
    let key = SessionKey()
    HKDF.deriveSessionKey(from: shared, into: key)
    return key
  }
}

// Arithmetic, not a table: which memory is read must not depend on the digit of a secret.

private func value(ofDigit digit: UInt8) -> UInt8? {
  switch digit {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
  default: nil
  }
}

private func digit(of value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
