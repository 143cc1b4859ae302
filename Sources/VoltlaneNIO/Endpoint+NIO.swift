import NIOCore
import NIOPosix
import VoltlaneText

extension Endpoint {
  /// The endpoint of a socket; nil if it has no address, like the far side of a unix socket.
  package init?(_ address: SocketAddress?) {
    switch address {
    case .v4, .v6:
      guard let host = address?.ipAddress, let port = address?.port.flatMap(UInt16.init(exactly:)) else { return nil }
      self = .tcp(host: host, port: port)
    case .unixDomainSocket:
      guard let path = address?.pathname, !path.isEmpty else { return nil }
      self = .unix(path: path)
    case nil:
      return nil
    }
  }
}

extension Endpoint {
  package var isTCP: Bool { if case .tcp = self { true } else { false } }
}

extension ClientBootstrap {
  package func connect(to endpoint: Endpoint) -> EventLoopFuture<any Channel> {
    switch endpoint {
    case .tcp(let host, let port): connect(host: host, port: Int(port))
    case .unix(let path): connect(unixDomainSocketPath: path)
    }
  }
}

extension ServerBootstrap {
  /// Listens on `endpoint`. A unix socket's file that nobody listens on any more is replaced. One that somebody listens
  /// on is left alone, and binding fails.
  package func listen(on endpoint: Endpoint, loop: any EventLoop) async throws -> any Channel {
    switch endpoint {
    case .tcp(let host, let port):
      return try await bind(host: host, port: Int(port)).get()
    case .unix(let path):
      let isStale = await Self.isStale(path, loop: loop)
      return try await bind(unixDomainSocketPath: path, cleanupExistingSocketFile: isStale).get()
    }
  }

  /// Whether `path` is a socket that refuses to be connected to.
  private static func isStale(_ path: String, loop: any EventLoop) async -> Bool {
    do {
      let answering = try await ClientBootstrap(group: loop).connect(unixDomainSocketPath: path).get()
      answering.close(promise: nil)
      return false
    } catch {
      return (error as? IOError)?.errnoCode == ECONNREFUSED
    }
  }
}
