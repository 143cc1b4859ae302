import VoltlaneCrypto

/// A job for a worker. It is a plain value that crosses a lane; keys cross as references.
struct HandshakeJob: BitwiseCopyable {
  enum Task: BitwiseCopyable {
    /// Is this SEC1 point, 33 or 65 bytes, on the curve?
    case checkKey(point: InlineArray<65, UInt8>, count: UInt8)
    /// Seal `plain` for the owner of `client`. The worker derives the session's key unless `key` has it.
    case seal(plain: SealedBox.Plain, nonce: SealedBox.Nonce, client: PublicKey, key: SessionKeyReference?)
    /// Does `box` hold `plain`?
    case open(box: SealedBox.Bytes, plain: SealedBox.Plain, key: SessionKeyReference)
  }

  /// The connection that is waiting.
  let connection: Token
  let task: Task
}

/// A worker's answer.
struct HandshakeResult: BitwiseCopyable {
  enum Answer: BitwiseCopyable {
    /// Nil if the point is not on the curve.
    case key(PublicKey?)
    /// The box, and the session's key for the next time.
    case sealed(SealedBox.Bytes, key: SessionKeyReference)
    case opened(Bool)
    /// There was no memory for the session's key.
    case noMemory
  }

  let connection: Token
  let answer: Answer
}

/// The two lanes between one shard and one worker.
struct HandshakeLanes: Sendable {
  let jobs: RecordLane<HandshakeJob>
  /// As long as `jobs`, so that a worker that takes a job has room for the answer.
  let results: RecordLane<HandshakeResult>

  init(_ arena: Arena) {
    jobs = RecordLane(arena, capacity: Limits.handshakeLane)
    results = RecordLane(arena, capacity: Limits.handshakeLane)
  }
}
