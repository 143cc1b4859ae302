import Glibc
import VoltlaneText

/// Reserves a session file for one process at a time: the relay gives a session to the client that came last, so two
/// clients that share one would keep taking it from each other.
///
/// The lock is a file beside it, because saving a session replaces the file itself. It is not removed, because that
/// would race with the next process that locks it. Its unsafe code passes a path to a system call, for the duration of
/// the call.
final class SessionLock: Sendable {
  private let descriptor: CInt

  init(of file: String) throws(SessionStoreError) {
    let path = "\(file).lock"
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .unwritable(path, reason: systemMessage(errno)) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { return }
    let error = errno
    close(descriptor)
    throw error == EWOULDBLOCK ? .inUse(file) : .unwritable(path, reason: systemMessage(error))
  }

  deinit {
    close(descriptor)
  }
}
