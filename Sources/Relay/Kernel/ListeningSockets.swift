import CLinux
import Glibc
import VoltlaneText

/// The sockets that clients connect to. Each shard has one of its own for each place. Those of a TCP address are bound
/// side by side (SO_REUSEPORT), and the kernel spreads clients over them. A unix path has one socket, of which each
/// shard has a descriptor: the shards spread its clients among themselves.
struct ListeningSockets {
  /// A shard's descriptor for one place. `isShared`: other shards accept from the same queue, that of a unix path or of
  /// a socket that was passed to the process.
  typealias Listener = (socket: Int32, isShared: Bool)

  private(set) var perShard: [[Listener]]
  /// Where they listen, with the actual ports if 0 was asked for.
  private(set) var endpoints: [Endpoint] = []
  /// How this differs from what was asked for, in the words of the log.
  private(set) var warnings: [String] = []
  private var files: [UnixSocketFile] = []
  /// Where these files are.
  private var unixEndpoints: [Endpoint] = []

  init(_ configuration: RelayConfiguration, _ listeners: ListenerAddresses) throws(RelayError) {
    perShard = Array(repeating: [], count: configuration.shards)
    do {
      for passed in listeners.passed { try adopt(passed, configuration) }
      try listen(listeners, configuration)
    } catch {
      closeAll()
      throw error
    }
  }

  /// An address of an endpoint.
  private struct Place {
    let endpoint: Endpoint
    let address: SocketAddress

    /// The numeric address, and what was asked for if that is a name.
    var description: String {
      let numbers = numbers
      return numbers == endpoint ? "\(numbers)" : "\(numbers) (of \(endpoint))"
    }

    var numbers: Endpoint { address.endpoint ?? endpoint }
  }

  /// Listens wherever that is possible. Only a port that somebody else has, and an address that nobody can have, make
  /// the start fail; an address that no interface has does so if there is no other.
  private mutating func listen(
    _ listeners: ListenerAddresses, _ configuration: RelayConfiguration
  ) throws(RelayError) {
    var absent: [(place: Place, errno: Int32)] = []
    for place in places(listeners) {
      guard case .tcp = place.endpoint else {
        try listenUnix(place.endpoint, configuration)
        continue
      }
      let result = ListeningSockets.checkFree(place.address)
      switch result {
      case 0: try listen(place, configuration)
      case EADDRNOTAVAIL, EAFNOSUPPORT: absent.append((place, result))
      case EINVAL where place.address.lacksScope:
        throw .address(place.endpoint, reason: "a link-local address needs its interface, as in [fe80::1%eth0]:42000")
      default: throw .listen(place.numbers, errno: result)
      }
    }
    if endpoints.isEmpty, let first = absent.first { throw .listen(first.place.numbers, errno: first.errno) }
    for (place, error) in absent {
      if error == EADDRNOTAVAIL, (try? listen(place, configuration, beforeAddress: true)) != nil {
        warnings.append("no interface has the address of \(place.description) yet: clients reach it once one does")
      } else {
        warnings.append("cannot listen on \(place.description), only elsewhere: \(systemMessage(error))")
      }
    }
  }

  /// Every address once: a name may list one twice, several names may share one, and one that a wildcard covers would
  /// be taken already.
  private mutating func places(_ listeners: ListenerAddresses) -> [Place] {
    var places: [Place] = []
    for (endpoint, addresses) in listeners.entries {
      var own: [SocketAddress] = []
      for address in addresses where !own.contains(address) {
        own.append(address)
        let place = Place(endpoint: endpoint, address: address)
        if let other = places.first(where: { $0.address == address && address.port != 0 }) {
          warnings.append("\(place.description) is the same as \(other.description), and is listened on once")
        } else if places.contains(where: { $0.endpoint == endpoint && address.isUnix }) {
          warnings.append("\(endpoint) was given twice, and is listened on once")
        } else {
          places.append(place)
        }
      }
    }
    for place in places where places.contains(where: { $0.address.covers(place.address) }) {
      warnings.append("\(place.description) is covered by the wildcard address beside it")
    }
    return places.filter { place in !places.contains { $0.address.covers(place.address) } }
  }

  private mutating func listenUnix(_ endpoint: Endpoint, _ configuration: RelayConfiguration) throws(RelayError) {
    let (socket, file) = try UnixSocketFile.listen(endpoint, configuration)
    files.append(file)
    try share(socket, endpoint)
  }

  /// Gives each shard a descriptor of a socket.
  private mutating func share(_ socket: Int32, _ endpoint: Endpoint) throws(RelayError) {
    perShard[0].append((socket, true))
    for shard in perShard.indices.dropFirst() {
      let own = fcntl(socket, F_DUPFD_CLOEXEC, 0)
      guard own >= 0 else { throw .listen(endpoint, errno: errno) }
      perShard[shard].append((own, true))
    }
    unixEndpoints.append(endpoint)
    endpoints.append(endpoint)
  }

  /// Listens on a socket that somebody else has opened, who may keep it open: its file is not this process's to remove,
  /// and it is not shut down.
  private mutating func adopt(
    _ passed: PassedListener, _ configuration: RelayConfiguration
  ) throws(RelayError) {
    guard let endpoint = SocketAddress.bound(passed.socket)?.listening else {
      throw .passed(passed.name, reason: "it has no address")
    }
    let result = ListeningSockets.withOptions(configuration, beforeAddress: false) {
      voltlane_adopt_listener(passed.socket, $0)
    }
    guard result == 0 else { throw .passed(passed.name, reason: systemMessage(-result)) }
    try share(passed.socket, endpoint)
  }

  private mutating func listen(
    _ place: Place, _ configuration: RelayConfiguration, beforeAddress: Bool = false
  ) throws(RelayError) {
    var bound = place.address
    for shard in perShard.indices {
      let socket = try ListeningSockets.open(bound, place.numbers, configuration, beforeAddress: beforeAddress)
      perShard[shard].append((socket, false))
      if shard == 0 { bound = SocketAddress.bound(socket) ?? bound }
    }
    endpoints.append(bound.endpoint ?? place.endpoint)
  }

  private static func open(
    _ address: SocketAddress, _ endpoint: Endpoint, _ configuration: RelayConfiguration, beforeAddress: Bool
  ) throws(RelayError) -> Int32 {
    let result = withOptions(configuration, beforeAddress: beforeAddress) { options in
      address.withSockaddr { voltlane_listen($0, $1, options) }
    }
    guard result >= 0 else { throw .listen(endpoint, errno: -result) }
    return result
  }

  private static func withOptions(
    _ configuration: RelayConfiguration, beforeAddress: Bool, _ body: (voltlane_listen_options) -> Int32
  ) -> Int32 {
    func options(_ congestionControl: UnsafePointer<CChar>?) -> voltlane_listen_options {
      voltlane_listen_options(
        backlog: Int32(clamping: configuration.protection.backlog),
        receive_buffer: Int32(clamping: configuration.clientReceiveBuffer), congestion_control: congestionControl,
        keepalive: configuration.keepalive.seconds, user_timeout: configuration.userTimeoutMilliseconds,
        defer_accept: configuration.protection.deferAccept?.seconds ?? 0, before_address: beforeAddress)
    }
    return configuration.congestionControl.map { $0.withCString { body(options($0)) } } ?? body(options(nil))
  }

  /// 0 if nobody listens on an address, otherwise why this process cannot. SO_REUSEPORT would let a second relay share
  /// the port unnoticed, so a socket without it finds out. The ring of a relay that has just died keeps its listeners
  /// for a moment after its process has gone: a restart waits for that.
  private static func checkFree(_ address: SocketAddress) -> Int32 {
    var result: Int32 = 0
    for _ in 0..<Limits.listenTries {
      result = address.withSockaddr { voltlane_check_free($0, $1) }
      guard result == -EADDRINUSE else { break }
      usleep(Limits.listenRetryMicroseconds)
    }
    return -result
  }

  // MARK: Not listening for a while

  /// Whoever connects from now on is refused by the kernel, and another process may listen there: the files of unix
  /// sockets are put aside. The descriptors stay what they are.
  func stopListening() {
    for file in files { file.hide() }
    for case (let socket, false) in perShard.joined() { shutdown(socket, Int32(SHUT_RD)) }
  }

  /// Listens again after ``stopListening()``: on TCP with new sockets in the places of the old descriptors, because the
  /// kernel (6.18) gives no more clients to the first of several that had stopped. Nothing has changed if it throws.
  func listenAgain(_ configuration: RelayConfiguration) throws(RelayError) {
    var replacements: [(new: Int32, old: Int32)] = []
    defer { for sockets in replacements { close(sockets.new) } }
    try reopenTCP(configuration) { replacements.append(($0, $1)) }
    do throws(RelayError) {
      for (file, endpoint) in zip(files, unixEndpoints) { try file.show(endpoint) }
    } catch {
      for file in files { file.hide() }
      throw error
    }
    for (new, old) in replacements { _ = fcntl(dup2(new, old), F_SETFD, FD_CLOEXEC) }
  }

  private func reopenTCP(
    _ configuration: RelayConfiguration, _ replace: (_ new: Int32, _ old: Int32) -> Void
  ) throws(RelayError) {
    var free: [SocketAddress] = []
    for case (let socket, false) in perShard.joined() {
      guard let address = SocketAddress.bound(socket), let endpoint = address.endpoint else {
        throw .system(call: "getsockname", errno: EINVAL)
      }
      // Of each place once: this process's own new socket would be in the way.
      if !free.contains(address) {
        let result = ListeningSockets.checkFree(address)
        guard result != EADDRINUSE else { throw .listen(endpoint, errno: result) }
        free.append(address)
      }
      let new = try ListeningSockets.open(address, endpoint, configuration, beforeAddress: true)
      // Addresses that are ignored stay so for as long as they would have been.
      voltlane_copy_filter(socket, new)
      replace(new, socket)
    }
  }

  /// Removes the files of unix sockets. Anyone who connects from then on finds none, or a successor's.
  mutating func removeFiles() {
    for file in files { file.remove() }
    files = []
  }

  /// Closes all of them, if no shard has them yet.
  mutating func closeAll() {
    removeFiles()
    for listeners in perShard { for listener in listeners { close(listener.socket) } }
    perShard = perShard.map { _ in [] }
  }
}
