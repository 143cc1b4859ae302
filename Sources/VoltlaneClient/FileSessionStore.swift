import Glibc
import NIOCore
import NIOPosix
import Synchronization
import VoltlaneNIO
import VoltlaneText

/// A session kept in a file that only its owner reads, as lines of text:
///
///     voltlane session 1
///     client-id 16 hexadecimal digits
///     secret-key 64 hexadecimal digits
///     relay-key 66 hexadecimal digits
///
/// From the first ``load()`` on it is locked, by a file beside it whose name ends in `.lock`, until the store is no
/// longer referenced; a ``Client`` that was opened with the store refers to it. So a second process, or a second client
/// in this one, gets ``SessionStoreError/inUse(_:)`` instead of taking the session away. (It is the kernel's lock,
/// `flock`, which ends with its process. It may not work between machines that share a file system.)
public final class FileSessionStore: SessionStore {
  /// Where the file is.
  public let path: String
  private let lock = Mutex<SessionLock?>(nil)

  // Lines and not JSON, because reading that takes Foundation, which is several times the size of a small program.
  private static let title = "voltlane session 1"
  /// More bytes than a session takes.
  private static let largest = 1024
  private static let files = NonBlockingFileIO(threadPool: .singleton)

  /// Does not touch the file yet. The file's folder has to exist.
  public init(path: String) {
    self.path = path
  }

  /// Locks the file, and reads it; nil if there is none.
  public func load() async throws(SessionStoreError) -> ClientSession? {
    try lock.withLock { lock throws(SessionStoreError) in
      if lock == nil { lock = try SessionLock(of: path) }
    }
    let content: String
    let isPrivate: Bool
    do {
      isPrivate = try await check()
      content = try await Self.files.withFileHandle(_deprecatedPath: path, mode: .read) { handle in
        String(buffer: try await Self.files.read(fileHandle: handle, byteCount: Self.largest, allocator: .init()))
      }
    } catch let error as SessionStoreError {
      throw error
    } catch let error as IOError where error.errnoCode == ENOENT {
      return nil
    } catch {
      throw .unreadable(path, reason: describe(error))
    }
    // Comes before the advice to make it private, which would not help with a file of another kind.
    guard let session = Self.session(content) else { throw .noSession(path) }
    guard isPrivate else { throw .readableByOthers(path) }
    return session
  }

  /// Replaces the file in one step: after an interruption there is either the old one or the new one.
  public func save(_ session: ClientSession) async throws(SessionStoreError) {
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

  /// Whether only its owner can read it: if others can, the secret key is no longer secret.
  private func check() async throws -> Bool {
    let mode = try await Self.files.lstat(path: path).st_mode
    // Nor a link, because writing replaces the link, and not the file that it points to.
    guard mode & S_IFMT == S_IFREG else { throw SessionStoreError.noSession(path) }
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
