import Glibc
import Relay
import Synchronization

/// A TCP proxy that makes a FIN of everything with which the relay may end a connection, as most proxies do: HAProxy,
/// Envoy, docker-proxy, ssh. What comes before the end is passed on.
final class FINProxy: Sendable {
  let endpoint: Endpoint
  private let life = Life()

  /// Apart from the proxy, whose threads do not keep it.
  private final class Life: Sendable {
    let isOver = Mutex(false)
  }

  /// In front of `target`, over TCP.
  init(to target: Endpoint) throws {
    let listener = Box(try RawBackend())
    endpoint = listener.value.endpoint
    Thread.start { [life] in
      while !life.isOver.withLock({ $0 }) {
        guard listener.value.isDialled(within: 20), let client = try? listener.value.accept().socket else { continue }
        Thread.start { FINProxy.pass(client, target) }
      }
    }
  }

  deinit { life.isOver.withLock { $0 = true } }

  private static func pass(_ client: RawSocket, _ target: Endpoint) {
    guard let relay = try? RawSocket(to: target) else { return client.close() }
    while client.end == nil, relay.end == nil {
      guard let up = try? client.takeArrived(), (try? relay.send(up)) != nil else { break }
      guard let down = try? relay.takeArrived(), (try? client.send(down)) != nil else { break }
      _ = SocketCalls.wait(relay.descriptor, POLLIN, milliseconds: 1)
    }
    if client.end != nil { relay.finish() }
    // What the relay still says, then its end, whatever it was.
    if let (rest, _) = try? relay.receiveToEnd() { try? client.send(rest) }
    client.finish()
    _ = try? client.receiveToEnd()
  }
}
