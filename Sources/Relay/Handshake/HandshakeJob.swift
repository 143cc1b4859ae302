import VoltlaneCrypto

/// A key for a worker to check. A plain value that crosses a lane.
struct HandshakeJob: BitwiseCopyable {
  /// The connection that waits.
  let connection: Token
  /// The SEC1 point, 33 or 65 bytes of it.
  let point: InlineArray<65, UInt8>
  let pointCount: UInt8
}

struct HandshakeResult: BitwiseCopyable {
  let connection: Token
  /// nil where the point is not on the curve.
  let key: PublicKey?
}

/// The two lanes between one shard and one worker.
struct HandshakeLanes: Sendable {
  let jobs: RecordLane<HandshakeJob>
  /// As long as `jobs`: who takes a job has room for its answer.
  let results: RecordLane<HandshakeResult>

  init(_ arena: Arena) {
    jobs = RecordLane(arena, capacity: Limits.handshakeLane)
    results = RecordLane(arena, capacity: Limits.handshakeLane)
  }
}
