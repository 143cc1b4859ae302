import Glibc
import NIOCore

/// Who is at the other end of a unix socket, by what the kernel knew when it connected. Its unsafe code reads an option
/// of the size that the kernel gives it.
enum PeerOwner {
  /// Laid out as the kernel's `struct ucred`, which glibc shows only with _GNU_SOURCE. Unsafe, because the kernel fills
  /// it in by its size, whatever its fields are.
  @unsafe private struct Credentials: Sendable {
    var process: Int32
    var user: UInt32
    var group: UInt32
  }

  /// The number of its user.
  static func of(_ channel: any Channel) -> EventLoopFuture<UInt32> {
    guard let provider = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeFailedFuture(ControlError("not a socket"))
    }
    return unsafe provider.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: CInt(SO_PEERCRED))
    ).map { (credentials: Credentials) in unsafe credentials.user }
  }
}
