/// The key that seals and opens the challenges of one session: 32 bytes, wiped when the last reference goes.
///
/// On the heap and not in guarded memory: that takes four pages and a kernel mapping each, of which a relay with many
/// sessions would run out. A class, so that there is one copy of the bytes.
public final class SessionKey: Sendable {
  /// Bytes of a session key.
  public static let byteCount = 32

  let memory: HeapSecret

  init() {
    memory = HeapSecret(byteCount: SessionKey.byteCount)
  }

  /// A key that was derived elsewhere. `bytes` must be 32 bytes.
  public init(bytes: RawSpan) {
    precondition(bytes.byteCount == SessionKey.byteCount, "a session key has 32 bytes")
    memory = HeapSecret(byteCount: SessionKey.byteCount)
    memory.fill(from: bytes)
  }
}
