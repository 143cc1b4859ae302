/// Where a session is kept across restarts of the program: see ``Client/open(at:store:options:retry:onRetry:)``. Its
/// contents are secret.
///
/// ``FileSessionStore`` is one; a keychain or a database could be others. A store must make sure that no two clients
/// use its session at the same time: they would take it from each other.
public protocol SessionStore: Sendable {
  /// The session that was saved last; nil if there is none.
  func load() async throws(SessionStoreError) -> ClientSession?
  /// Replaces what is there, as a whole or not at all.
  func save(_ session: ClientSession) async throws(SessionStoreError)
}

/// Why a session could not be loaded or saved. The texts are paths, or the store's own names.
public enum SessionStoreError: Error, Equatable, Sendable {
  /// It cannot be read; the reason is the system's description.
  case unreadable(String, reason: String)
  /// It cannot be written; the reason is the system's description. The previous contents are still there.
  case unwritable(String, reason: String)
  /// Something else is there.
  case noSession(String)
  /// People other than its owner can read it, so the secret key is no longer secret.
  case readableByOthers(String)
  /// Another client is using it.
  case inUse(String)
}

extension SessionStoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "cannot read the session file \(path): \(reason)"
    case .unwritable(let path, let reason): "cannot write the session file \(path): \(reason)"
    case .noSession(let path): "\(path) contains no session; give another file, or remove it to begin a new session"
    case .inUse(let path): "the session in \(path) is in use by another client; end it, or give another file"
    case .readableByOthers(let path): "\(path) holds a secret key, and others may read it; chmod 600 fixes that"
    }
  }
}
