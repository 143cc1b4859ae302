import Glibc
import VoltlaneWire

/// The firehose asks a shard here for its live sessions, and the shard answers with one 0x03 for each.
struct SweepLane: Sendable {
  /// Counts the firehose's requests.
  let requests: SharedWord
  let answers: RecordLane<SweepAnswer>

  init(_ arena: Arena) {
    requests = SharedWord(arena)
    answers = RecordLane(arena, capacity: 8)
  }
}

/// The 0x03s of one shard as they go on the wire, each with the session's 0x07 and a stale one's 0x04 behind it, where
/// those are told. Its size is bounded by the number of sessions.
///
/// Invariant: `count <= capacity`; the last owner of the value frees it.
struct SweepAnswer: BitwiseCopyable {
  /// The request that this answers.
  let request: UInt64
  /// Nil if the system had no memory for it.
  private let bytes: UnsafeMutableRawPointer?
  private(set) var count: Int
  private let capacity: Int

  /// Of at most so many sessions. `tellsAway`, `tellsAddresses`: with the 0x04s of those that are stale, with all
  /// 0x07s.
  init(request: UInt64, sessions: Int, tellsAway: Bool, tellsAddresses: Bool) {
    self.request = request
    let away = tellsAway ? UplinkProducer.headerSize : 0
    let address = tellsAddresses ? UplinkProducer.headerSize + ClientOrigin.longest : 0
    capacity = sessions * (UplinkProducer.headerSize + address + away)
    bytes = malloc(max(capacity, 1))
    count = 0
  }

  /// The system had no memory for the answer, so it names no sessions, however many there are.
  var hasFailed: Bool { bytes == nil }

  mutating func appendReconnection(_ id: UInt64) { append(id, PacketFlag.reconnection.rawValue) }

  mutating func appendAway(_ id: UInt64) { append(id, ExtensionFlag.away.rawValue) }

  mutating func append(_ id: UInt64, _ origin: ClientOrigin) {
    var (data, dataCount) = origin.encoded
    append(id, ExtensionFlag.address.rawValue, &data, dataCount)
  }

  private mutating func append(_ id: UInt64, _ flag: UInt8, _ data: UnsafeRawPointer? = nil, _ dataCount: Int = 0) {
    guard let bytes else { return }
    // Of each session that lives, as many as it was made for.
    precondition(count + UplinkProducer.headerSize + dataCount <= capacity)
    UplinkProducer.writeHeader(at: bytes + count, id: id, flag: flag, dataCount)
    count += UplinkProducer.headerSize
    if let data { memcpy(bytes + count, data, dataCount) }
    count += dataCount
  }

  /// The bytes from `offset` on.
  func rest(from offset: Int) -> iovec { iovec(iov_base: bytes.map { $0 + offset }, iov_len: count - offset) }

  func free() { Glibc.free(bytes) }
}
