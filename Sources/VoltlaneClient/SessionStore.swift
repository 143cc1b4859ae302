/// Where a session is kept over restarts of the program: see ``Client/open(at:store:options:retry:onRetry:)``. What it
/// keeps is secret.
///
/// ``FileSessionStore`` is one; a keychain or a database would be others. A store must see to it that no two clients
/// use its session at a time: they would take it from each other.
public protocol SessionStore: Sendable {
  /// The session that was saved last; nil where there is none.
  func load() async throws(SessionStoreError) -> ClientSession?
  /// Replaces what is there: all or nothing.
  func save(_ session: ClientSession) async throws(SessionStoreError)
}

/// Why a session could not be loaded or saved. The texts are paths or names of the store's own.
public enum SessionStoreError: Error, Equatable, Sendable {
  /// It cannot be read; the reason is the system's word for it.
  case unreadable(String, reason: String)
  /// It cannot be written; the reason is the system's word for it. What was there is there still.
  case unwritable(String, reason: String)
  /// Something else is there.
  case noSession(String)
  /// Others than its owner may read it, so that the secret key is none any more.
  case readableByOthers(String)
  /// Another client uses it.
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
