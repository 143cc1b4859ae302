import CLinux
import Glibc
import VoltlaneText

/// The sockets that clients connect to: one a shard for each TCP address, all on one port by SO_REUSEPORT, so that the
/// kernel spreads clients over the shards; one for all shards for a unix path.
struct ListeningSockets {
  /// For each shard its sockets, and whether each is shared with other shards.
  private(set) var perShard: [[(socket: Int32, isShared: Bool)]]
  /// Where they listen, with the ports that were chosen where 0 was asked for.
  private(set) var endpoints: [Endpoint] = []
  private var unixPaths: [String] = []

  init(_ configuration: RelayConfiguration) throws(RelayError) {
    perShard = Array(repeating: [], count: configuration.shards)
    do {
      for endpoint in configuration.listeners { try listen(endpoint, configuration) }
    } catch {
      closeAll()
      throw error
    }
  }

  private mutating func listen(_ endpoint: Endpoint, _ configuration: RelayConfiguration) throws(RelayError) {
    switch endpoint {
    case .unix(let path):
      guard let address = SocketAddress(unixPath: path) else {
        throw .address(endpoint, reason: "a unix path has at most 107 bytes")
      }
      try ListeningSockets.removeStale(path, address, endpoint)
      let socket = try ListeningSockets.open(address, endpoint, configuration)
      unixPaths.append(path)
      for shard in perShard.indices { perShard[shard].append((socket, true)) }
      self.endpoints.append(endpoint)
    case .tcp(let host, let port):
      let addresses: [SocketAddress]
      switch SocketAddress.lookUp(host, port: port, passive: true) {
      case .success(let found): addresses = found
      case .failure(let error): throw .address(endpoint, reason: error.message)
      }
      for address in addresses {
        // SO_REUSEPORT would let a second relay share the port unnoticed: a socket without it finds out.
        try ListeningSockets.checkFree(address, endpoint)
        var bound = address
        for shard in perShard.indices {
          let socket = try ListeningSockets.open(bound, endpoint, configuration)
          perShard[shard].append((socket, false))
          if shard == 0 { bound = SocketAddress.bound(socket) ?? address }
        }
        self.endpoints.append(.tcp(host: bound.host ?? host, port: bound.port))
      }
    }
  }

  private static func open(
    _ address: SocketAddress, _ endpoint: Endpoint, _ configuration: RelayConfiguration
  ) throws(RelayError) -> Int32 {
    let userTimeout = UInt32(clamping: configuration.tcpUserTimeout.nanoseconds / Limits.millisecond)
    func listen(_ congestionControl: UnsafePointer<CChar>?) -> Int32 {
      let options = voltlane_listen_options(
        backlog: Int32(clamping: configuration.protection.backlog),
        receive_buffer: Int32(clamping: configuration.clientReceiveBuffer), congestion_control: congestionControl,
        keepalive: configuration.keepalive.seconds, user_timeout: userTimeout,
        defer_accept: configuration.protection.deferAccept?.seconds ?? 0)
      return address.withSockaddr { voltlane_listen($0, $1, options) }
    }
    let result = configuration.congestionControl.map { $0.withCString(listen) } ?? listen(nil)
    guard result >= 0 else { throw .listen(endpoint, errno: -result) }
    return result
  }

  /// The ring of a relay that has just died keeps its listeners for a moment after its process is gone: a restart waits
  /// for that.
  private static func checkFree(_ address: SocketAddress, _ endpoint: Endpoint) throws(RelayError) {
    var result: Int32 = 0
    for _ in 0..<Limits.listenTries {
      result = address.withSockaddr { voltlane_check_free($0, $1) }
      guard result == -EADDRINUSE else { break }
      usleep(Limits.listenRetryMicroseconds)
    }
    guard result == 0 else { throw .listen(endpoint, errno: -result) }
  }

  /// A socket file that nobody listens on was left by a process that died; one that somebody does is in use.
  private static func removeStale(_ path: String, _ address: SocketAddress, _ endpoint: Endpoint) throws(RelayError) {
    let socket = address.withSockaddr { voltlane_dial($0, $1, nil, 0) }
    guard socket < 0 else {
      close(socket)
      throw .listen(endpoint, errno: EADDRINUSE)
    }
    guard socket == -ECONNREFUSED else { return }
    // A file of another kind refuses connections too, and is not the relay's to remove.
    guard isSocket(path) else { throw .address(endpoint, reason: "the file that is there is not a socket") }
    unlink(path)
  }

  private static func isSocket(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFSOCK
  }

  /// Closes the sockets that no shard closes by itself, and removes socket files.
  mutating func closeShared() {
    for entry in perShard.first ?? [] where entry.isShared { close(entry.socket) }
    for path in unixPaths { unlink(path) }
    unixPaths = []
    perShard = perShard.map { _ in [] }
  }

  /// Closes all, where no shard has them yet.
  mutating func closeAll() {
    for sockets in perShard { for entry in sockets where !entry.isShared { close(entry.socket) } }
    closeShared()
  }
}
