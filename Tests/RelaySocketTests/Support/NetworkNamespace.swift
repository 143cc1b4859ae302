import Glibc

/// A network that nobody else is in: its loopback, and what a test adds to it.
enum NetworkNamespace {
  /// Whether this process may make one, as root may.
  static let isPossible: Bool = (try? run("ip link set lo up") {}) != nil

  /// Runs `body` on a thread in a new one, which the threads that it starts share, once the shell has prepared it.
  static func run(_ preparation: String, _ body: @escaping () throws -> Void) throws {
    try Background {
      guard SocketCalls.leaveNetwork() == 0 else { throw SocketFailure.system("unshare", errno) }
      guard SocketCalls.shell(preparation) == 0 else { throw SocketFailure.system(preparation, EINVAL) }
      try body()
    }.join()
  }
}
