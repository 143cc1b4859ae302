import Glibc
import VoltlaneWire

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

/// The 0x03s of one shard as they go on the wire, each with the 0x04 of a stale session behind it where those are told.
/// Its size is bounded by the number of sessions.
///
/// Invariant: `count <= capacity`; the last owner of the value frees it.
struct SweepAnswer: BitwiseCopyable {
  /// The request that it answers.
  let request: UInt64
  /// Nil where the system had no memory for it.
  private let bytes: UnsafeMutableRawPointer?
  private(set) var count: Int
  private let capacity: Int

  /// Of at most so many packets.
  init(request: UInt64, packets: Int) {
    self.request = request
    capacity = packets * UplinkProducer.headerSize
    bytes = malloc(max(capacity, 1))
    count = 0
  }

  /// It has no sessions, however many there are.
  var hasFailed: Bool { bytes == nil }

  mutating func appendReconnection(_ id: UInt64) { append(id, PacketFlag.reconnection.rawValue) }

  mutating func appendAway(_ id: UInt64) { append(id, ExtensionFlag.away.rawValue) }

  private mutating func append(_ id: UInt64, _ flag: UInt8) {
    guard let bytes else { return }
    // Of each session that lives, as many as it was made for.
    precondition(count + UplinkProducer.headerSize <= capacity)
    UplinkProducer.writeHeader(at: bytes + count, id: id, flag: flag, 0)
    count += UplinkProducer.headerSize
  }

  /// The bytes from `offset` on.
  func rest(from offset: Int) -> iovec { iovec(iov_base: bytes.map { $0 + offset }, iov_len: count - offset) }

  func free() { Glibc.free(bytes) }
}
