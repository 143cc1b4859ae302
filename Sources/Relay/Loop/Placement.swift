/// The hosts of a relay: how many threads it has, on which CPUs they run, and which roles begin where.
struct Placement {
  struct Host {
    let name: String
    /// The handshake worker that is all it hosts.
    var worker: Int?
    var cpu: Int?
  }

  private(set) var hosts: [Host] = []
  /// How many of them, the first ones, host shards and the firehose.
  let roleHosts: Int
  private let spread: Bool
  let firehoseHost: Int

  /// With a fixed number of threads the shards are spread over them evenly, and stay. Otherwise all begin on the first,
  /// and move when that pays. A firehose that is to have a thread of its own has the last. Workers are not pinned to
  /// CPUs, because they are idle between storms of connections.
  init(_ configuration: RelayConfiguration) {
    let own = configuration.firehoseCore == .own
    // A firehose that moves may have a thread that no shard has.
    let moves = !configuration.threads.isFixed && configuration.firehoseCore == .moving
    let forShards = min(configuration.threads.most, configuration.shards + (moves ? 1 : 0))
    roleHosts = forShards + (own ? 1 : 0)
    spread = configuration.threads.isFixed
    firehoseHost = own ? forShards : 0
    for host in 0..<roleHosts { hosts.append(Host(name: own && host == firehoseHost ? "firehose" : "relay \(host)")) }
    // With more threads than CPUs, pinning would make two of them wait for each other: the scheduler knows better.
    if roleHosts <= configuration.cpus.count {
      for index in hosts.indices { hosts[index].cpu = configuration.cpus[index] }
    }
    for worker in 0..<configuration.handshakeWorkers {
      hosts.append(Host(name: "handshake \(worker)", worker: worker))
    }
  }

  /// Hosts that shards may be at.
  var shardHosts: Int { roleHosts - (firehoseHost > 0 ? 1 : 0) }

  /// What a host has, in words.
  func roles(at host: Int, _ whereabouts: [Whereabouts]) -> [String] {
    if let worker = hosts[host].worker { return ["handshake worker \(worker)"] }
    let roles = whereabouts.indices.filter { whereabouts[$0].host == host }
    return roles.map { $0 == whereabouts.count - 1 ? "firehose" : "shard \($0)" }
  }

  /// Where a shard begins.
  func host(ofShard shard: Int) -> Int { spread ? shard % shardHosts : 0 }
}
