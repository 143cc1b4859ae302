import VoltlaneText

/// Why the program cannot start, where it is not the relay that says so.
struct StartError: Error, CustomStringConvertible {
  /// The system call, or what it was for.
  var doing: String
  var errno: Int32

  var description: String { "\(doing): \(systemMessage(errno))" }
}
