import CLinux
import VoltlaneCrypto

/// Does the handshake's cryptography, away from the shards: checking a point takes as long as dozens of packets, and a
/// key agreement as long as thousands.
struct HandshakeWorker: ~Copyable {
  /// The worker's ends of its lanes with one shard.
  struct Client: ~Copyable {
    var jobs: RecordConsumer<HandshakeJob>
    var results: RecordProducer<HandshakeResult>
    let bell: RoleBell
  }

  private let identity: SecretKey
  private var clients: FixedArray<Client>

  /// `identity` is the relay's key; `bells` are those of the shards behind `lanes`, in their order.
  init(identity: SecretKey, lanes: [HandshakeLanes], bells: [RoleBell]) {
    self.identity = identity
    clients = FixedArray(count: lanes.count) {
      Client(jobs: RecordConsumer(lanes[$0].jobs), results: RecordProducer(lanes[$0].results), bell: bells[$0])
    }
  }

  mutating func hasWork() -> Bool {
    for index in 0..<clients.count where clients[index].jobs.available() > 0 { return true }
    return false
  }

  /// Does a batch of each shard's jobs.
  @inline(__always)
  mutating func work<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for index in 0..<clients.count where clients[index].jobs.available() > 0 { work(for: index, &kernel) }
  }

  @inline(never)
  private mutating func work<K: Kernel & ~Copyable>(for index: Int, _ kernel: inout K) {
    for _ in 0..<min(clients[index].jobs.available(), Limits.handshakeBatch) {
      let job = clients[index].jobs.take()
      // There is always room: a shard has no more jobs under way than the lane of results holds.
      clients[index].results.push(HandshakeResult(connection: job.connection, answer: answer(job.task)))
    }
    let shardWaited = clients[index].jobs.release()
    if clients[index].results.publish() || shardWaited { clients[index].bell.wake(&kernel) }
  }

  @inline(never)
  private func answer(_ task: HandshakeJob.Task) -> HandshakeResult.Answer {
    switch task {
    case .checkKey(let point, let count):
      return .key(try? PublicKey(sec1: point.span.bytes.extracting(0..<Int(count))))
    case .seal(let plain, let nonce, let client, let known):
      // Swift ends the process if there is no memory for an object.
      guard known != nil || voltlane_has_room(Limits.sessionKeyObject, 3) else { return .noMemory }
      let key = known ?? SessionKeyReference(identity.sessionKey(with: client))
      return .sealed(SealedBox.seal(plain.span.bytes, key: key.value, nonce: nonce), key: key)
    case .open(let box, let plain, let key):
      defer { key.release() }
      guard let opened = SealedBox.open(box.span.bytes, key: key.value) else { return .opened(false) }
      return .opened(ConstantTime.areEqual(opened.span.bytes, plain.span.bytes))
    }
  }
}
