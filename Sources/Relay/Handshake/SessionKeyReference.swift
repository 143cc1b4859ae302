import VoltlaneCrypto

/// A session's key as it crosses lanes and stands in the session table: a counted reference without the counting, so
/// that those stay trivial memory and the key's bytes are never copied.
///
/// Invariant: each value that is kept, or is in a lane, owns one reference, which its last holder releases.
struct SessionKeyReference: BitwiseCopyable {
  private let key: UnsafeRawPointer

  /// Takes a reference of its own.
  init(_ key: SessionKey) {
    self.key = UnsafeRawPointer(Unmanaged.passRetained(key).toOpaque())
  }

  /// Another reference to the same key, for another holder.
  func copy() -> SessionKeyReference { SessionKeyReference(value) }

  var value: SessionKey { Unmanaged<SessionKey>.fromOpaque(key).takeUnretainedValue() }

  /// Gives the reference up; with the last one the key is wiped.
  func release() { Unmanaged<SessionKey>.fromOpaque(key).release() }
}
