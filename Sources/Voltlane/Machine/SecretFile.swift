import Glibc
import VoltlaneCrypto
import VoltlaneText

/// A file that only its owner can read. Its unsafe code passes pointers only for the duration of a system call, to
/// paths and to memory that is as long as the call is told.
enum SecretFile {
  /// What was read from a file, and why it is not a secret; nil if it is.
  struct Content {
    var count: Int
    var exposure: IdentityError?
  }

  /// Reads `path` to the front of `text`; nil if there is no such file. Rejects one that leaves no room in `text`.
  static func read(_ path: String, into text: inout SecretBytes) throws(IdentityError) -> Content? {
    // Without O_NONBLOCK a fifo would wait for a writer.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw failure(path, "it cannot be read")
    }
    defer { close(descriptor) }
    let exposure = try exposure(path, descriptor)
    var count = 0
    while count < text.byteCount {
      let result = text.withMutableSpan { text in
        unsafe text.withUnsafeMutableBufferPointer { bytes in
          // Not empty, as there is room left.
          unsafe Glibc.read(descriptor, bytes.baseAddress! + count, bytes.count - count)
        }
      }
      if result == 0 { return Content(count: count, exposure: exposure) }
      guard result > 0 || errno == EINTR else { throw failure(path, "it cannot be read") }
      count += max(result, 0)
    }
    throw IdentityError(file: path, reason: "it is too long to be a key")
  }

  /// What is checked is what is read: the descriptor, not the path.
  private static func exposure(_ path: String, _ descriptor: Int32) throws(IdentityError) -> IdentityError? {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw failure(path, "it cannot be read") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw IdentityError(file: path, reason: "it is not a file") }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      return IdentityError(file: path, reason: "it belongs to another user (\(status.st_uid)), who can read it")
    }
    let mode = status.st_mode & 0o7777
    guard mode & 0o077 != 0 else { return nil }
    // As Kubernetes mounts a secret for a process that is not root and has access through its group.
    if mode & 0o037 == 0, status.st_uid == 0 {
      guard !System.groups().contains(status.st_gid) else { return nil }
      return IdentityError(
        file: path,
        reason: "it can be read by a group (\(status.st_gid)) in which this process is not; run: chmod 600 \(path)")
    }
    // A container's secret, as Docker mounts one (0444): who runs the relay there cannot change what is mounted.
    let mend =
      status.st_uid == 0 && geteuid() != 0
      ? "mount it for user \(geteuid()) with mode 0400, or for group \(getegid()) with mode 0440"
      : "run: chmod 600 \(path)"
    let digits = String(mode, radix: 8)
    return IdentityError(file: path, reason: "users other than its owner have access (mode 0\(digits)); \(mend)")
  }

  /// Creates `path` with the first `count` bytes of `text`, readable only by its owner: whole or not at all, and on the
  /// disk when this returns. False if it exists already.
  static func create(_ path: String, _ text: borrowing SecretBytes, count: Int) throws(IdentityError) -> Bool {
    // In the same folder, because a link cannot leave its file system. Unlike a rename, a link replaces nothing.
    let draft = "\(path).new-\(String(UInt64.random(in: .min ... .max), radix: 16))"
    let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure(path, "it is missing and cannot be made") }
    defer {
      close(descriptor)
      unsafe unlink(draft)
    }
    // The umask may have taken rights away from the owner as well.
    guard fchmod(descriptor, 0o600) == 0, write(text, count: count, to: descriptor), fsync(descriptor) == 0 else {
      throw failure(path, "it is missing and cannot be made")
    }
    guard unsafe link(draft, path) == 0 else {
      if errno == EEXIST { return false }
      throw failure(path, "it is missing and cannot be made")
    }
    try syncFolder(of: path)
    return true
  }

  /// Why ``create(_:_:count:)`` would fail; nil if no obstacle is known.
  static func creationRefusal(_ path: String) -> IdentityError? {
    unsafe faccessat(AT_FDCWD, folder(of: path), W_OK | X_OK, AT_EACCESS) == 0
      ? nil : failure(path, "it is missing and cannot be made")
  }

  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
  }

  private static func write(_ text: borrowing SecretBytes, count: Int, to descriptor: Int32) -> Bool {
    text.withSpan { text in
      unsafe text.withUnsafeBufferPointer { bytes in
        var done = 0
        while done < count {
          // Not empty, as there is something left.
          let result = unsafe Glibc.write(descriptor, bytes.baseAddress! + done, count - done)
          guard result >= 0 || errno == EINTR else { return false }
          done += max(result, 0)
        }
        return true
      }
    }
  }

  /// A new name is on the disk once its folder is.
  private static func syncFolder(of path: String) throws(IdentityError) {
    let descriptor = unsafe open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path, "its folder cannot be synchronised") }
    defer { close(descriptor) }
    // EINVAL: a file system without such an operation.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure(path, "its folder cannot be synchronised") }
  }

  /// With the error of the last system call.
  private static func failure(_ path: String, _ what: String) -> IdentityError {
    IdentityError(file: path, reason: "\(what): \(systemMessage(errno))")
  }
}
