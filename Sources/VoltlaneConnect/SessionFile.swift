import Glibc
import NIOCore
import NIOPosix
import VoltlaneClient
import VoltlaneNIO
import VoltlaneText

/// A session kept in a file that only its owner can read:
///
///     voltlane session 1
///     client-id 16 hexadecimal digits
///     secret-key 64 hexadecimal digits
///     relay-key 66 hexadecimal digits
///
/// Lines and not JSON: reading JSON would take Foundation, which is several times the size of this program.
struct SessionFile {
  let path: String

  private static let title = "voltlane session 1"
  /// More than a session takes, in bytes.
  private static let largest = 1024
  private static let files = NonBlockingFileIO(threadPool: .singleton)

  /// Keeps others from the session while the lock lives.
  func lock() throws(SessionFileError) -> SessionLock {
    try SessionLock(of: path)
  }

  /// nil if there is no such file.
  func read() async throws(SessionFileError) -> ClientSession? {
    let content: String
    let isPrivate: Bool
    do {
      isPrivate = try await check()
      content = try await Self.files.withFileHandle(_deprecatedPath: path, mode: .read) { handle in
        String(buffer: try await Self.files.read(fileHandle: handle, byteCount: Self.largest, allocator: .init()))
      }
    } catch let error as SessionFileError {
      throw error
    } catch let error as IOError where error.errnoCode == ENOENT {
      return nil
    } catch {
      throw .unreadable(path, reason: describe(error))
    }
    // Before the advice to make it private, which would be no help for a file of some other kind.
    guard let session = Self.session(content) else { throw .noSession(path) }
    guard isPrivate else { throw .readableByOthers(path) }
    return session
  }

  /// Replaces the file in one step: after an interruption it is either the old one or the new one.
  func write(_ session: ClientSession) async throws(SessionFileError) {
    let new = "\(path).\(UInt64.random(in: 0 ... .max)).new"
    do {
      try await Self.files.withFileHandle(
        _deprecatedPath: new, mode: .write, flags: .posix(flags: O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
      ) { handle in
        try await Self.files.write(fileHandle: handle, buffer: ByteBuffer(string: Self.text(session)))
      }
      try await Self.files.rename(path: new, newName: path)
    } catch {
      try? await Self.files.unlink(path: new)
      throw .unwritable(path, reason: describe(error))
    }
  }

  /// Whether only its owner can read it: if others can, the secret key is not secret any more.
  private func check() async throws -> Bool {
    let mode = try await Self.files.lstat(path: path).st_mode
    // Nor a link: writing replaces the link, not the file that it leads to.
    guard mode & S_IFMT == S_IFREG else { throw SessionFileError.noSession(path) }
    return mode & 0o077 == 0
  }

  static func text(_ session: ClientSession) -> String {
    """
    \(title)
    client-id \(String(clientID: session.clientID))
    secret-key \(hexadecimal(session.secretKey))
    relay-key \(hexadecimal(session.relayKey))

    """
  }

  static func session(_ text: String) -> ClientSession? {
    let lines = text.split(separator: "\n")
    guard lines.count == 4, lines[0] == title else { return nil }
    func field(_ line: Int, _ name: String) -> Substring? {
      let words = lines[line].split(separator: " ")
      return words.count == 2 && words[0] == name ? words[1] : nil
    }
    guard let id = field(1, "client-id").flatMap({ UInt64(clientID: $0) }),
      let secret = field(2, "secret-key").flatMap({ bytes(hexadecimal: $0) }), secret.count == 32,
      let relay = field(3, "relay-key").flatMap({ bytes(hexadecimal: $0) }), relay.count == 33
    else { return nil }
    return ClientSession(clientID: id, secretKey: secret, relayKey: relay)
  }
}

enum SessionFileError: Error, CustomStringConvertible {
  case unreadable(String, reason: String)
  case unwritable(String, reason: String)
  case noSession(String)
  case readableByOthers(String)
  case inUse(String)

  var description: String {
    switch self {
    case .unreadable(let path, let reason): "cannot read the session file \(path): \(reason)"
    case .unwritable(let path, let reason): "cannot write the session file \(path): \(reason)"
    case .noSession(let path): "\(path) contains no session; give another file, or remove it to begin a new session"
    case .inUse(let path): "the session in \(path) is in use by another voltlane-connect; end it, or give another file"
    case .readableByOthers(let path): "\(path) holds a secret key, and others may read it; chmod 600 fixes that"
    }
  }
}
