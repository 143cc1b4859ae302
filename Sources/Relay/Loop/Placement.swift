/// Which thread hosts which roles, and on which CPU it runs.
struct Placement {
  struct Thread {
    let name: String
    var shard: Int?
    var hostsFirehose = false
    var worker: Int?
    var cpu: Int?
  }

  private(set) var threads: [Thread] = []

  /// The firehose shares the first shard's thread or has one of its own, which is then the last of those that are
  /// pinned. Workers are not pinned to CPUs of their own, because they are idle between storms of connections.
  init(_ configuration: RelayConfiguration) {
    let shared = configuration.firehoseCore == .shared
    for shard in 0..<configuration.shards {
      threads.append(Thread(name: "shard \(shard)", shard: shard, hostsFirehose: shared && shard == 0))
    }
    if !shared { threads.append(Thread(name: "firehose", hostsFirehose: true)) }
    // With more threads than CPUs, pinning would make two of them wait for each other: the scheduler knows better.
    if threads.count <= configuration.cpus.count {
      for index in threads.indices { threads[index].cpu = configuration.cpus[index] }
    }
    for worker in 0..<configuration.handshakeWorkers {
      threads.append(Thread(name: "handshake \(worker)", worker: worker))
    }
  }
}
