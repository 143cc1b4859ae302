import VoltlaneCrypto

/// What a worker is asked. A plain value that crosses a lane; keys cross as references.
struct HandshakeJob: BitwiseCopyable {
  enum Task: BitwiseCopyable {
    /// Is this SEC1 point, 33 or 65 bytes, on the curve?
    case checkKey(point: InlineArray<65, UInt8>, count: UInt8)
    /// Seal `plain` for the owner of `client`. The session's key is derived unless it is there.
    case seal(plain: SealedBox.Plain, nonce: SealedBox.Nonce, client: PublicKey, key: SessionKeyReference?)
    /// Does `box` hold `plain`?
    case open(box: SealedBox.Bytes, plain: SealedBox.Plain, key: SessionKeyReference)
  }

  /// The connection that waits.
  let connection: Token
  let task: Task
}

/// What a worker answers.
struct HandshakeResult: BitwiseCopyable {
  enum Answer: BitwiseCopyable {
    /// nil where the point is not on the curve.
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
  /// As long as `jobs`: a worker that takes a job has room for its answer.
  let results: RecordLane<HandshakeResult>

  init(_ arena: Arena) {
    jobs = RecordLane(arena, capacity: Limits.handshakeLane)
    results = RecordLane(arena, capacity: Limits.handshakeLane)
  }
}
