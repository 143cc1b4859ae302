import CLinux
import Glibc
import VoltlaneText

/// The file of a listening unix socket: made, with its mode and group, and removed for as long as its path still means
/// it.
///
/// Nothing in the kernel keeps two relays from both replacing the same stale file. So the folder is locked while a path
/// is examined and changed; there is no other file for that.
public struct UnixSocketFile: Sendable {
  private let path: String
  private let file: voltlane_file

  /// Listens on a path. A socket file on which nobody listens was left by a process that died, and is replaced; one on
  /// which somebody listens is in use.
  static func listen(
    _ endpoint: Endpoint, _ configuration: RelayConfiguration
  ) throws(RelayError) -> (socket: Int32, file: UnixSocketFile) {
    try listen(
      endpoint, backlog: configuration.protection.backlog, mode: configuration.unixSocketMode,
      group: configuration.unixSocketGroup)
  }

  /// The same for any unix socket. `mode` and `group`: nil leaves them to the umask and the folder.
  public static func listen(
    _ endpoint: Endpoint, backlog: Int, mode: UInt16?, group: UInt32?
  ) throws(RelayError) -> (socket: Int32, file: UnixSocketFile) {
    guard case .unix(let path) = endpoint, let address = SocketAddress(unixPath: path) else {
      throw .address(endpoint, reason: "a unix path has at most \(Endpoint.longestPath) bytes")
    }
    let lock = lockFolder(of: path)
    defer { if let lock { close(lock) } }
    try removeStale(path, address, endpoint)
    let options = voltlane_unix_options(
      backlog: Int32(clamping: backlog), mode: mode.map { Int32($0) } ?? -1, group: group.map { Int64($0) } ?? -1)
    var file = voltlane_file()
    let socket = voltlane_listen_unix(path, options, &file)
    guard socket >= 0 else { throw .listen(endpoint, errno: -socket) }
    return (socket, UnixSocketFile(path: path, file: file))
  }

  /// Removes the file, unless the path means another one by now: a successor's.
  public func remove() {
    let lock = UnixSocketFile.lockFolder(of: path, tries: 1)
    defer { if let lock { close(lock) } }
    _ = voltlane_remove_file(path, file)
    _ = voltlane_remove_file(hiddenPath, file)
  }

  /// Puts the file aside, so that whoever comes finds none, and a successor can listen on the path. The socket goes on
  /// listening to nobody.
  func hide() {
    let lock = UnixSocketFile.lockFolder(of: path, tries: 1)
    defer { if let lock { close(lock) } }
    if UnixSocketFile.isFile(path, file) { rename(path, hiddenPath) }
  }

  /// Puts the file back. Throws if somebody else listens on the path by now.
  func show(_ endpoint: Endpoint) throws(RelayError) {
    guard let address = SocketAddress(unixPath: path) else { return }
    let lock = UnixSocketFile.lockFolder(of: path)
    defer { if let lock { close(lock) } }
    if UnixSocketFile.isFile(path, file) { return }
    try UnixSocketFile.removeStale(path, address, endpoint)
    guard UnixSocketFile.isFile(hiddenPath, file) else { throw .listen(endpoint, errno: ENOENT) }
    // A link, because a rename would replace whatever has come meanwhile.
    guard link(hiddenPath, path) == 0 else { throw .listen(endpoint, errno: errno) }
    unlink(hiddenPath)
  }

  /// Its own: several relays that drain may have listened on the path, one after the other.
  private var hiddenPath: String { "\(path).draining-\(file.inode)" }

  /// Whether the path means that file.
  private static func isFile(_ path: String, _ file: voltlane_file) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0 && UInt64(information.st_dev) == file.device
      && UInt64(information.st_ino) == file.inode
  }

  private static func removeStale(_ path: String, _ address: SocketAddress, _ endpoint: Endpoint) throws(RelayError) {
    let socket = address.withSockaddr { voltlane_dial($0, $1, nil, 0) }
    guard socket < 0 else {
      close(socket)
      throw .listen(endpoint, errno: EADDRINUSE)
    }
    guard socket == -ECONNREFUSED else { return }
    // A file of another kind refuses connections too, and it is not the relay's business to remove it.
    guard isSocket(path) else { throw .address(endpoint, reason: "the file that is there is not a socket") }
    unlink(path)
  }

  private static func isSocket(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFSOCK
  }

  /// Nil if the folder cannot be locked, or another process holds the lock for longer than examining and changing
  /// takes: nothing waits for that, and the worst that can happen is what would happen without a lock.
  private static func lockFolder(of path: String, tries: Int = Limits.listenTries) -> Int32? {
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    for attempt in 1...tries {
      let lock = voltlane_lock_folder(folder)
      if lock >= 0 { return lock }
      guard lock == -EWOULDBLOCK, attempt < tries else { return nil }
      usleep(Limits.listenRetryMicroseconds)
    }
    return nil
  }
}
