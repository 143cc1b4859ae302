import Glibc
import NIOCore

extension Channel {
  /// Whether this socket is connected to itself: where nobody listens on a port that the kernel gives to outgoing
  /// connections, and gives to this one, TCP opens it from both ends at once.
  package var isItsOwnPeer: Bool {
    guard let localAddress, localAddress.protocol != .unix else { return false }
    return localAddress == remoteAddress
  }

  /// Closes with a reset, which leaves no TIME-WAIT that would keep the port from the program that should listen on it.
  package func reset() {
    guard let options = self as? any SocketOptionProvider else { return close(promise: nil) }
    options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in self.close(promise: nil) }
  }
}
