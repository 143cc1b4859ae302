import Glibc
import VoltlaneWire

/// The packets of ``PendingBytes`` while there are some.
///
///     first             cursor                            last
///     | packet | packet |  packe|  |t | packet | pack|   |et | packet |  free |
///     |<-- the socket has these ->|<-- it has not -------->|
///
/// They are stored one after another in a list of pieces. A piece that is used up is freed, and another is added when
/// there is no room: nothing that is kept is ever copied again, however much there is. Only a size prefix is certain to
/// be in one piece.
///
/// Volatile packets are stored among the others; their pieces note where they begin.
///
/// Invariant: `count` is the sum of what the pieces keep and `memory` of what they cost; `sent <= count`, `own +
/// exempt <= count`; a packet begins at the start of the first piece; `cursor` is `sent` bytes further on.
struct PendingPackets: BitwiseCopyable {
  private var first: PendingPiece?
  private var last: PendingPiece?
  /// Where the bytes begin that the socket does not have yet: a piece, and the place in it, which may be its end.
  private var cursor: PendingPiece?
  private var cursorOffset: UInt32 = 0
  private var byteCount: UInt32 = 0
  private var memoryCount: UInt32 = 0
  private var sent: UInt32 = 0
  /// Bytes behind `own` that were carried over from one state to the next and count towards no limit of the client's.
  private var exempt: UInt32 = 0
  /// Bytes from the start on that are handshake packets of the relay's.
  private var own: UInt32 = 0

  /// Bytes that are kept: of each packet its data and 4.
  @inline(__always) var count: Int { Int(byteCount) }
  @inline(__always) var isEmpty: Bool { byteCount == 0 }
  /// Bytes that the pieces cost at the allocator.
  var memory: Int { Int(memoryCount) }
  /// Bytes that count towards the client's limit.
  var limitedCount: Int { count - Int(exempt) - Int(own) }
  @inline(__always) var unsentCount: Int { Int(byteCount &- sent) }

  // MARK: In

  /// Appends one whole packet with its size prefix. False where there is no memory: nothing has changed then.
  @inline(never)
  mutating func append(_ packet: UnsafeRawPointer, _ packetCount: Int, isVolatile: Bool = false) -> Bool {
    let place = isVolatile ? PendingPiece.volatilePlace : 0
    // The size prefix must not be split.
    let room = last.map { $0.room < Wire.sizePrefix + place ? 0 : $0.room - place } ?? 0
    let inLast = min(room, packetCount)
    if inLast < packetCount {
      // All of the memory first: a packet is kept whole or not at all.
      guard let (head, tail) = pieces(for: packetCount - inLast + (inLast == 0 ? place : 0)) else { return false }
      if isVolatile { (inLast == 0 ? head : last)?.noteVolatile() }
      last?.append(packet, inLast)
      var rest = packet + inLast
      var left = packetCount - inLast
      var next: PendingPiece? = head
      while let piece = next {
        let part = min(left, piece.room)
        piece.append(rest, part)
        rest += part
        left -= part
        next = piece.next
      }
      link(head, tail)
    } else {
      if isVolatile { last?.noteVolatile() }
      last!.append(packet, packetCount)  // there is one: it has the room
    }
    byteCount += UInt32(packetCount)
    return true
  }

  /// Appends a handshake packet of the relay's. There are only such before it.
  mutating func append(own packet: UnsafeRawPointer, _ packetCount: Int) -> Bool {
    assert(Int(own) == count)
    guard append(packet, packetCount) else { return false }
    own += UInt32(packetCount)
    return true
  }

  /// New pieces with room for `wanted` bytes, and what they cost is counted; nil where there is no memory. What is kept
  /// may grow by half at a time, so that many small packets take few pieces and few bytes in vain.
  private mutating func pieces(for wanted: Int) -> (first: PendingPiece, last: PendingPiece)? {
    var head: PendingPiece?
    var tail: PendingPiece?
    var left = wanted
    var cost = 0
    while left > 0 {
      let growth = max(PendingPiece.memory(for: left), (memory + cost) / 2)
      guard let piece = PendingPiece.allocate(memory: min(growth, Limits.pendingPieceMost)) else {
        head.map(PendingPackets.freeAll)
        return nil
      }
      if head == nil { head = piece } else { tail?.next = piece }
      tail = piece
      left -= piece.room
      cost += piece.memory
    }
    guard let head, let tail else { return nil }
    memoryCount += UInt32(cost)
    return (head, tail)
  }

  /// Puts a list of pieces behind those that are there.
  private mutating func link(_ head: PendingPiece, _ tail: PendingPiece) {
    if last == nil {
      first = head
      cursor = head
      cursorOffset = head.start
    }
    last?.next = head
    last = tail
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
    while left >= Wire.sizePrefix, let size = firstPacketSize(), size <= left {
      skip(size)
      left -= size
      gone += size
    }
    sent -= UInt32(gone)
    let ownGone = min(own, UInt32(gone))
    own -= ownGone
    exempt -= min(exempt, UInt32(gone) - ownGone)
  }

  /// The size of the first packet with its prefix; nil where there is none.
  private mutating func firstPacketSize() -> Int? {
    guard !isEmpty, let piece = first else { return nil }
    return Int(UInt32(littleEndian: piece.bytes(at: piece.start).loadUnaligned(as: UInt32.self))) + Wire.sizePrefix
  }

  /// Takes the first `skipped` bytes away, and gives the pieces back that are used up. The last stays, for what comes
  /// next, and so does the first piece that keeps something.
  private mutating func skip(_ skipped: Int) {
    byteCount -= UInt32(skipped)
    var left = skipped
    while let piece = first {
      let part = min(left, piece.count)
      piece.skip(part)
      left -= part
      guard piece.count == 0, let next = piece.next else { return }
      memoryCount -= UInt32(piece.memory)
      piece.free()
      first = next
    }
  }

  // MARK: From one state to the next

  /// The socket is gone: what it did not take whole, or was not seen to deliver, begins anew, and of that at most
  /// `exempt` bytes count towards no limit. The relay's own packets were for that socket. Memory that is of no more use
  /// is given back. Volatile packets are dropped: returns how many.
  mutating func rewind(exempt limit: Int) -> Int {
    skip(Int(own))
    own = 0
    sent = 0
    let dropped = dropVolatile()
    exempt = UInt32(min(count, limit))
    fit()
    cursor = first
    cursorOffset = first?.start ?? 0
    return dropped
  }

  /// Each piece keeps what it has of other packets, in no more memory than that needs, and is given back where that is
  /// nothing. Returns how many packets there were.
  private mutating func dropVolatile() -> Int {
    var (dropped, rest) = (0, 0)
    var before: PendingPiece?
    var next = first
    while let piece = next {
      next = piece.next
      let count = piece.count
      let found = piece.dropVolatile(rest: rest)
      dropped += found.packets
      rest = found.rest
      byteCount -= UInt32(count - piece.count)
      guard piece.count < count else {
        before = piece
        continue
      }
      memoryCount -= UInt32(piece.memory)
      if piece.count == 0 {
        piece.free()
        if let before { before.next = next } else { first = next }
      } else {
        let fitted = piece.fitted()
        memoryCount += UInt32(fitted.memory)
        if let before { before.next = fitted } else { first = fitted }
        before = fitted
      }
    }
    last = before
    return dropped
  }

  /// Takes over all that `other` keeps, behind what is here, which is the relay's own; of it at most `limit` bytes
  /// count towards no limit.
  mutating func carryOver(_ other: PendingPackets, exempt limit: Int) {
    if let head = other.first, let tail = other.last {
      link(head, tail)
      byteCount += other.byteCount
      memoryCount += other.memoryCount
    }
    exemptAtMost(limit)
  }

  /// At most so many bytes count towards no limit, beside the relay's own.
  mutating func exemptAtMost(_ limit: Int) { exempt = UInt32(min(count - Int(own), limit)) }

  /// Frees the unused memory of the first and the last piece. No other piece has any.
  private mutating func fit() {
    guard let head = first, let tail = last else { return }
    memoryCount -= UInt32(head.memory)
    let fitted = head.fitted()
    memoryCount += UInt32(fitted.memory)
    first = fitted
    guard let second = fitted.next else {
      last = fitted
      return
    }
    var before = fitted
    var next = second
    while let following = next.next {
      before = next
      next = following
    }
    memoryCount -= UInt32(tail.memory)
    let fittedTail = tail.fitted()
    memoryCount += UInt32(fittedTail.memory)
    before.next = fittedTail
    last = fittedTail
  }

  /// Frees all pieces. The value must not be used afterwards.
  func free() { first.map(PendingPackets.freeAll) }

  private static func freeAll(_ head: PendingPiece) {
    var next: PendingPiece? = head
    while let piece = next {
      next = piece.next
      piece.free()
    }
  }

  /// Traps if the invariant does not hold. For tests.
  func checkInvariants() {
    var (kept, cost, before) = (0, 0, 0)
    var next = first
    var isBeforeCursor = true
    while let piece = next {
      precondition(piece.room >= 0 && piece.start <= piece.end, "a piece keeps more than it has room for")
      if piece.isSame(as: cursor) {
        before += Int(cursorOffset - piece.start)
        isBeforeCursor = false
      } else if isBeforeCursor {
        before += piece.count
      }
      kept += piece.count
      cost += piece.memory
      precondition((0...16).contains(piece.memory - piece.allocatedMemory), "a piece costs something else")
      precondition(piece.placesAreInOrder, "a volatile packet is not where it is said to be")
      next = piece.next
      if next == nil { precondition(piece.isSame(as: last), "the list does not end with the last piece") }
    }
    precondition(kept == count, "\(count) bytes are counted, \(kept) are kept")
    precondition(cost == memory, "\(memory) bytes of memory are counted, the pieces cost \(cost)")
    precondition(first == nil || before == Int(sent), "the cursor is at \(before), \(sent) were sent")
    precondition(sent <= byteCount && own + exempt <= byteCount, "more is sent or exempt than there is")
  }
}
