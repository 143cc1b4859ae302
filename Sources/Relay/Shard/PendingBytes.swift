import Glibc

/// Packets that wait for one client, whole, each behind its size prefix. Those that the socket does not take at once;
/// after the client's FIN also those that it took and the client's TCP has not acknowledged; those that a stale
/// session's client missed. Costs nothing while it is empty.
///
///     bytes      head                 head + handed              tail        capacity
///     |  free    | packet | packet |  packet     | packet | ...  |   free    |
///                |<-- the socket has these ->|<-- it has not --->|
///
/// What the relay says of itself, its key, an id, a ping, stands first where the socket did not take it: it is nobody's
/// missed packet.
///
/// Invariant: `head <= head + handed <= tail <= capacity`, `own + exempt <= tail - head`; a packet begins at `head`.
struct PendingBytes: BitwiseCopyable {
  private var bytes: UnsafeMutableRawPointer?
  private var head: UInt32 = 0
  private var tail: UInt32 = 0
  private var capacity: UInt32 = 0
  private var handed: UInt32 = 0
  /// Bytes from `head` on that were carried over from a stale session and count towards no limit.
  private var exempt: UInt32 = 0
  /// Bytes from `head` on that are handshake packets of the relay's.
  private var own: UInt32 = 0

  /// Bytes that are kept: of each packet its data and 4.
  @inline(__always) var count: Int { Int(tail &- head) }
  @inline(__always) var isEmpty: Bool { head == tail }
  /// Bytes that count towards the client's limit.
  var limitedCount: Int { count - Int(exempt) - Int(own) }

  /// The bytes that the socket has not been handed; only where there are some.
  var unsent: UnsafeMutableRawPointer { bytes! + Int(head + handed) }
  @inline(__always) var unsentCount: Int { Int(tail &- head &- handed) }

  /// Appends one whole packet with its size prefix.
  @inline(never)
  mutating func append(_ packet: UnsafeRawPointer, _ byteCount: Int) {
    if Int(capacity - tail) < byteCount { makeRoom(byteCount) }
    memcpy(bytes! + Int(tail), packet, byteCount)
    tail += UInt32(byteCount)
  }

  /// Appends a handshake packet of the relay's. There are only such before it.
  mutating func append(own packet: UnsafeRawPointer, _ byteCount: Int) {
    precondition(Int(own) == count)
    append(packet, byteCount)
    own += UInt32(byteCount)
  }

  /// Takes over all that `other` keeps, behind what is here; it counts towards no limit.
  mutating func carryOver(_ other: PendingBytes) {
    if isEmpty {
      self = other
    } else if !other.isEmpty {
      append(other.bytes! + Int(other.head), other.count)
      Glibc.free(other.bytes)
    }
    exempt = UInt32(count) - own
  }

  /// Moves what is kept to the front where at least half is free there, so that a byte is moved at most once for each
  /// byte that went; else doubles the memory.
  private mutating func makeRoom(_ byteCount: Int) {
    let kept = count
    if head >= capacity / 2, Int(capacity) - kept >= byteCount, kept > 0 {
      memmove(bytes!, bytes! + Int(head), kept)
    } else {
      var wanted = max(256, 2 * Int(capacity))
      while wanted < kept + byteCount { wanted *= 2 }
      guard let grown = malloc(wanted) else { fatalError("out of memory for \(wanted) bytes") }
      if kept > 0 { memcpy(grown, bytes! + Int(head), kept) }
      Glibc.free(bytes)
      bytes = grown
      capacity = UInt32(wanted)
    }
    head = 0
    tail = UInt32(kept)
  }

  /// The socket took `byteCount` more bytes: the packets that it has whole are forgotten.
  mutating func hand(_ byteCount: Int) {
    handed += UInt32(byteCount)
    forget(Int(handed))
  }

  /// The socket took `byteCount` more bytes, and they are kept until they are acknowledged.
  mutating func handKeeping(_ byteCount: Int) {
    handed += UInt32(byteCount)
  }

  /// All but the last `unacknowledged` bytes that the socket took have been acknowledged: packets that were whole are
  /// forgotten.
  mutating func acknowledge(allBut unacknowledged: Int) {
    forget(Int(handed) - min(Int(handed), unacknowledged))
  }

  /// The socket is gone: what it did not take whole, or was not seen to deliver, begins anew. The relay's own packets
  /// were for that socket.
  mutating func takeBack() {
    handed = 0
    head += own
    own = 0
    if isEmpty { clear() }
  }

  /// Forgets the packets that lie whole within the first `byteCount` bytes, and the memory with the last of all.
  private mutating func forget(_ byteCount: Int) {
    var left = byteCount
    var gone = 0
    while left >= 4 {
      let size = Int(UInt32(littleEndian: (bytes! + Int(head) + gone).loadUnaligned(as: UInt32.self))) + 4
      guard size <= left else { break }
      gone += size
      left -= size
    }
    head += UInt32(gone)
    handed -= UInt32(gone)
    let ownGone = min(own, UInt32(gone))
    own -= ownGone
    exempt -= min(exempt, UInt32(gone) - ownGone)
    if isEmpty { clear() }
  }

  mutating func clear() {
    Glibc.free(bytes)
    self = PendingBytes()
  }
}
