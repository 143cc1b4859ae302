import Glibc

/// How the firehose asks a shard for its live sessions, and how the shard answers with one 0x03 for each.
struct SweepLane: Sendable {
  /// Counts the firehose's requests.
  let requests: SharedWord
  let answers: RecordLane<SweepAnswer>

  init(_ arena: Arena) {
    requests = SharedWord(arena)
    answers = RecordLane(arena, capacity: 8)
  }
}

/// The 0x03s of one shard, as they go on the wire. Its size is bounded by the number of sessions: 13 bytes each.
///
/// Invariant: `count <= capacity`; the last owner of the value frees it.
struct SweepAnswer: BitwiseCopyable {
  /// The request that it answers.
  let request: UInt64
  /// Nil where the system had no memory for it.
  private let bytes: UnsafeMutableRawPointer?
  private(set) var count: Int
  private let capacity: Int

  init(request: UInt64, sessions: Int) {
    self.request = request
    capacity = sessions * UplinkProducer.headerSize
    bytes = malloc(max(capacity, 1))
    count = 0
  }

  /// It has no sessions, however many there are.
  var hasFailed: Bool { bytes == nil }

  mutating func append(_ id: UInt64) {
    guard let bytes else { return }
    // One for each session that lives, as many as it was made for.
    precondition(count + UplinkProducer.headerSize <= capacity)
    UplinkProducer.writeHeader(at: bytes + count, id: id, flag: .reconnection, 0)
    count += UplinkProducer.headerSize
  }

  /// The bytes from `offset` on.
  func rest(from offset: Int) -> iovec { iovec(iov_base: bytes.map { $0 + offset }, iov_len: count - offset) }

  func free() { Glibc.free(bytes) }
}
