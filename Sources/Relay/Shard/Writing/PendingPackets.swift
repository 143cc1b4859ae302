import Glibc
import VoltlaneWire

/// The packets of ``PendingBytes`` while there are some.
///
///     first             cursor
///     | packet | packet |  packe|  |t | packet | pack|   |et | packet |  free |
///     |<-- the socket has these ->|<-- it has not -------->|
///
/// Invariant: `sent <= count`, `own + exempt + volatileBytes <= count`; `cursor` is `sent` bytes behind the start of
/// the first piece.
struct PendingPackets: BitwiseCopyable {
  private var pieces = PendingPieces()
  /// Where the bytes begin that the socket does not have yet: a piece, and the place in it, which may be its end.
  private var cursor: PendingPiece?
  private var cursorOffset: UInt32 = 0
  private var sent: UInt32 = 0
  /// Bytes behind `own` that were carried over from one state to the next and count towards no limit of the client's.
  private var exempt: UInt32 = 0
  /// Bytes from the start on that are handshake packets of the relay's.
  private var own: UInt32 = 0
  /// Bytes of volatile packets. They count towards no limit, because they must not end anybody.
  private var volatileBytes: UInt32 = 0

  /// Bytes that are kept: of each packet its data and 4.
  @inline(__always) var count: Int { Int(pieces.byteCount) }
  @inline(__always) var isEmpty: Bool { pieces.isEmpty }
  /// Bytes that the pieces cost at the allocator.
  var memory: Int { pieces.memory }
  /// Bytes that count towards the client's limit.
  var limitedCount: Int { count - Int(exempt) - Int(own) &- Int(volatileBytes) }
  /// Whether all that is kept is volatile.
  var areVolatile: Bool { volatileBytes == pieces.byteCount }
  var hasVolatile: Bool { volatileBytes > 0 }
  @inline(__always) var unsentCount: Int { Int(pieces.byteCount &- sent) }

  // MARK: In

  /// Appends one whole packet with its size prefix. False where there is no memory: nothing has changed then.
  mutating func append(_ packet: UnsafeRawPointer, _ packetCount: Int, isVolatile: Bool = false) -> Bool {
    defer { startCursor() }
    guard pieces.append(packet, packetCount, isVolatile: isVolatile) else { return false }
    if isVolatile { volatileBytes &+= UInt32(truncatingIfNeeded: packetCount) }
    return true
  }

  /// Appends a handshake packet of the relay's. There are only such before it.
  mutating func append(own packet: UnsafeRawPointer, _ packetCount: Int) -> Bool {
    assert(Int(own) == count)
    guard append(packet, packetCount) else { return false }
    own += UInt32(packetCount)
    return true
  }

  /// Puts the cursor on the first piece, where it is on none.
  private mutating func startCursor() {
    if cursor == nil { resetCursor() }
  }

  private mutating func resetCursor() {
    cursor = pieces.first
    cursorOffset = pieces.first?.start ?? 0
  }

  // MARK: Out

  /// Lists bytes that have not been sent, in at most `room` pieces and about `most` bytes. Returns how many pieces and
  /// bytes it listed.
  mutating func listUnsent(_ vectors: UnsafeMutablePointer<iovec>, room: Int, most: Int) -> (pieces: Int, bytes: Int) {
    normaliseCursor()
    var listed = (pieces: 0, bytes: 0)
    var offset = cursorOffset
    var next = cursor
    while let piece = next, listed.pieces < room, listed.bytes < most {
      let part = Int(piece.end - offset)
      if part > 0 {
        vectors[listed.pieces] = iovec(iov_base: piece.bytes(at: offset), iov_len: part)
        listed.pieces += 1
        listed.bytes += part
      }
      next = piece.next
      offset = next?.start ?? 0
    }
    return listed
  }

  /// The socket took `taken` more bytes: the packets that it has whole are forgotten.
  mutating func advance(_ taken: Int) {
    advanceKeeping(taken)
    forget(Int(sent))
  }

  /// The socket took `taken` more bytes, and they are kept until they are acknowledged.
  mutating func advanceKeeping(_ taken: Int) {
    sent += UInt32(taken)
    var left = taken
    while left > 0 {
      normaliseCursor()
      guard let piece = cursor else { return }
      let part = min(left, Int(piece.end - cursorOffset))
      cursorOffset += UInt32(part)
      left -= part
    }
  }

  /// All but the last `unacknowledged` bytes that the socket took have been acknowledged: packets that were whole are
  /// forgotten.
  mutating func acknowledge(allBut unacknowledged: Int) {
    forget(Int(sent) - min(Int(sent), unacknowledged))
  }

  /// Moves the cursor from the end of a piece to the start of the next, where there is one.
  private mutating func normaliseCursor() {
    while let piece = cursor, cursorOffset == piece.end, let next = piece.next {
      cursor = next
      cursorOffset = next.start
    }
  }

  /// Forgets the packets that lie whole within the first `limit` bytes, all of which the socket took.
  private mutating func forget(_ limit: Int) {
    normaliseCursor()
    var left = limit
    var gone = 0
    while left >= Wire.sizePrefix, let size = pieces.firstPacketSize(), size <= left {
      if hasVolatile, pieces.beginWithVolatile() { volatileBytes &-= UInt32(truncatingIfNeeded: size) }
      pieces.skip(size)
      left -= size
      gone += size
    }
    sent -= UInt32(gone)
    let ownGone = min(own, UInt32(gone))
    own -= ownGone
    exempt -= min(exempt, UInt32(gone) - ownGone)
  }

  // MARK: From one state to the next

  /// The socket is gone: what it did not take whole, or was not seen to deliver, begins anew, and of that at most
  /// `exempt` bytes count towards no limit. The relay's own packets were for that socket. Memory that is of no more use
  /// is given back. Volatile packets are dropped: returns how many.
  mutating func rewind(exempt limit: Int) -> Int {
    pieces.skip(Int(own))
    own = 0
    sent = 0
    let dropped = pieces.dropVolatile(behind: 0)
    volatileBytes = 0
    exempt = UInt32(min(count, limit))
    pieces.fit()
    resetCursor()
    return dropped
  }

  /// Drops the volatile packets that are not begun. Returns how many.
  mutating func dropVolatile() -> Int {
    guard hasVolatile else { return 0 }
    let before = count
    let dropped = pieces.dropVolatile(behind: Int(sent))
    volatileBytes &-= UInt32(truncatingIfNeeded: before &- count)
    // Its piece may be another one now.
    let taken = Int(sent)
    sent = 0
    resetCursor()
    advanceKeeping(taken)
    return dropped
  }

  /// Takes over all that `other` keeps, behind what is here, which is the relay's own; of it at most `limit` bytes
  /// count towards no limit.
  mutating func carryOver(_ other: PendingPackets, exempt limit: Int) {
    pieces.append(other.pieces)
    startCursor()
    exemptAtMost(limit)
  }

  /// At most so many bytes count towards no limit, beside the relay's own.
  mutating func exemptAtMost(_ limit: Int) { exempt = UInt32(min(count - Int(own), limit)) }

  /// Frees all pieces. The value must not be used afterwards.
  func free() { pieces.free() }

  /// Traps if the invariant does not hold. For tests.
  func checkInvariants() {
    pieces.checkInvariants()
    var before = 0
    var next = pieces.first
    while let piece = next, !piece.isSame(as: cursor) {
      before += piece.count
      next = piece.next
    }
    if let piece = next { before += Int(cursorOffset - piece.start) }
    precondition(pieces.first == nil || before == Int(sent), "the cursor is at \(before), \(sent) were sent")
    precondition(
      sent <= pieces.byteCount && own + exempt + volatileBytes <= pieces.byteCount,
      "more is sent or exempt than there is")
  }
}
