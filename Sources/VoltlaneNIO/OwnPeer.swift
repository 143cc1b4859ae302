import Glibc
import NIOCore

extension Channel {
  /// Whether this socket is connected to itself. That happens if nobody listens on the port, and the kernel picks that
  /// very port for the outgoing connection: TCP then opens it from both ends at once.
  package var isItsOwnPeer: Bool {
    guard let localAddress, localAddress.protocol != .unix else { return false }
    return localAddress == remoteAddress
  }

  /// Closes with a reset, because a TIME-WAIT would keep the port from the program that should listen on it.
  package func reset() {
    guard let options = self as? any SocketOptionProvider else { return close(promise: nil) }
    options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in self.close(promise: nil) }
  }
}
