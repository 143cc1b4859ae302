import VoltlaneCrypto

/// Checks clients' keys away from the shards, because a point check takes as long as dozens of packets.
struct HandshakeWorker: ~Copyable {
  /// The worker's ends of its lanes with one shard.
  struct Client: ~Copyable {
    var jobs: RecordConsumer<HandshakeJob>
    var results: RecordProducer<HandshakeResult>
    let bell: Bell
  }

  private var clients: FixedArray<Client>

  /// `bells` are those of the hosts of the shards behind `lanes`, in their order.
  init(lanes: [HandshakeLanes], bells: [Bell]) {
    clients = FixedArray(count: lanes.count) {
      Client(jobs: RecordConsumer(lanes[$0].jobs), results: RecordProducer(lanes[$0].results), bell: bells[$0])
    }
  }

  mutating func hasWork() -> Bool {
    for index in 0..<clients.count where clients[index].jobs.available() > 0 { return true }
    return false
  }

  /// Does a batch of each shard's jobs.
  mutating func work<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for index in 0..<clients.count {
      let count = min(clients[index].jobs.available(), Limits.handshakeBatch)
      guard count > 0 else { continue }
      for _ in 0..<count {
        let job = clients[index].jobs.take()
        // Room is certain: a shard has no more jobs under way than the lane of results holds.
        clients[index].results.push(HandshakeResult(connection: job.connection, key: HandshakeWorker.check(job)))
      }
      let shardWaited = clients[index].jobs.release()
      if clients[index].results.publish() || shardWaited, clients[index].bell.takeSleep() {
        kernel.ring(clients[index].bell)
      }
    }
  }

  @inline(never)
  private static func check(_ job: HandshakeJob) -> PublicKey? {
    let bytes = job.point.span.bytes.extracting(0..<Int(job.pointCount))
    return try? PublicKey(sec1: bytes)
  }
}
