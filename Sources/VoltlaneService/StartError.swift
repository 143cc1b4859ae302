import VoltlaneText

/// Why the program cannot start, if it is not the relay that says so.
package struct StartError: Error, CustomStringConvertible {
  /// The system call, or what it was for.
  package var doing: String
  package var errno: Int32

  package init(doing: String, errno: Int32) {
    self.doing = doing
    self.errno = errno
  }

  package var description: String { "\(doing): \(systemMessage(errno))" }
}
