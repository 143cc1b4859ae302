/// A shard's ends of its lanes with the handshake workers.
///
/// Invariant: `jobsUnderWay` is the sum over all workers. A worker never has more jobs under way than its lane of
/// results has places, so it always has room for the answer.
struct WorkerPool: ~Copyable {
  struct Worker: ~Copyable {
    var jobs: RecordProducer<HandshakeJob>
    var results: RecordConsumer<HandshakeResult>
    let bell: RoleBell
    /// Jobs whose results have not been taken.
    var underWay = 0
  }

  private var workers: FixedArray<Worker>
  private var last = 0
  /// Of all workers together. Only while there are some can a connection wait for a worker.
  private(set) var jobsUnderWay = 0

  init(_ workers: consuming FixedArray<Worker>) { self.workers = workers }

  var count: Int { workers.count }

  /// Whether a worker can take a job now.
  var hasRoom: Bool { workers[(last &+ 1) % workers.count].underWay < Limits.handshakeLane }

  /// How many jobs all workers together can take now.
  func room() -> Int {
    var room = 0
    for worker in 0..<workers.count { room += Limits.handshakeLane - workers[worker].underWay }
    return room
  }

  /// Gives the next worker a job.
  mutating func submit(_ job: HandshakeJob) {
    last = (last &+ 1) % workers.count
    workers[last].jobs.push(job)
    workers[last].underWay &+= 1
    jobsUnderWay &+= 1
  }

  /// Whether a worker has a result.
  mutating func hasResults() -> Bool {
    for worker in 0..<workers.count where workers[worker].results.available() > 0 { return true }
    return false
  }

  /// A worker's next result; nil if all have been taken.
  mutating func takeResult(of worker: Int) -> HandshakeResult? {
    guard workers[worker].results.available() > 0 else {
      _ = workers[worker].results.release()
      return nil
    }
    workers[worker].underWay &-= 1
    jobsUnderWay &-= 1
    return workers[worker].results.take()
  }

  /// Shows the workers what the turn has for them, and wakes those that sleep.
  @inline(never)
  mutating func publish<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for worker in 0..<workers.count {
      if workers[worker].jobs.publish() { workers[worker].bell.wake(&kernel) }
    }
  }
}

#if DEBUG
extension WorkerPool {
  func checkInvariants() throws(InvariantViolation) {
    var jobs = 0
    for worker in 0..<workers.count {
      try require((0...Limits.handshakeLane).contains(workers[worker].underWay), "a worker has too many jobs")
      jobs += workers[worker].underWay
    }
    try require(jobs == jobsUnderWay, "the workers have \(jobs) jobs, not \(jobsUnderWay)")
  }
}
#endif
