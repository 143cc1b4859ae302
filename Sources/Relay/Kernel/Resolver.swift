import CLinux
import Glibc
import Synchronization
import VoltlaneText

/// Looks the backend's name up anew before each dial, on a thread of its own because getaddrinfo blocks.
final class Resolver: Sendable {
  /// An eventfd that is signalled when a look-up has ended.
  let signal: Int32
  private let backend: Endpoint
  private let found = Mutex<[SocketAddress]>([])

  /// Throws where the kernel has no descriptor left.
  init(backend: Endpoint) throws(RelayError) {
    self.backend = backend
    signal = voltlane_eventfd()
    guard signal >= 0 else { throw .system(call: "eventfd", errno: -signal) }
  }

  deinit { close(signal) }

  /// Begins a look-up. What an earlier one found stays until this one has ended; a failed one keeps it too: a name
  /// server that is down for a moment takes no backend away.
  func begin() {
    OSThread.detach(name: "resolve") { [self] in
      let addresses: [SocketAddress]
      switch backend {
      case .unix(let path): addresses = SocketAddress(unixPath: path).map { [$0] } ?? []
      case .tcp(let host, let port):
        addresses = (try? SocketAddress.lookUp(host, port: port, passive: false).get()) ?? []
      }
      if !addresses.isEmpty { found.withLock { $0 = addresses } }
      voltlane_eventfd_signal(signal)
    }
  }

  func address(_ index: Int) -> SocketAddress? {
    found.withLock { $0.isEmpty ? nil : $0[index % $0.count] }
  }
}
