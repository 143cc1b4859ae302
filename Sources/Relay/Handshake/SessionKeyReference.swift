import VoltlaneCrypto

/// A session's key as lanes and the session table hold it: a reference that is not counted automatically, so that lanes
/// and table stay trivial memory and the key's bytes are never copied.
///
/// Invariant: each value that is kept, or is in a lane, owns one reference, and its last holder releases that.
struct SessionKeyReference: BitwiseCopyable {
  private let key: UnsafeRawPointer

  /// Retains the key: the new value owns a reference.
  init(_ key: SessionKey) {
    self.key = UnsafeRawPointer(Unmanaged.passRetained(key).toOpaque())
  }

  /// Another reference to the same key, for another holder.
  func copy() -> SessionKeyReference { SessionKeyReference(value) }

  var value: SessionKey { Unmanaged<SessionKey>.fromOpaque(key).takeUnretainedValue() }

  /// Gives the reference up. The key is wiped with the last one.
  func release() { Unmanaged<SessionKey>.fromOpaque(key).release() }
}
