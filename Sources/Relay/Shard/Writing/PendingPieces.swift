import VoltlaneWire

/// The list of pieces in which the packets of one client wait, one packet behind the other. A piece that is used up is
/// freed, and another is added when there is no room: nothing that is kept is ever copied again, however much there is.
/// Only a size prefix is certain to be in one piece.
///
/// Volatile packets are stored among the others; their pieces note where they begin.
///
/// Invariant: `count` is the sum of what the pieces keep and `memory` of what they cost; there is a last piece where
/// there is a first one; a packet begins at the start of the first.
struct PendingPieces: BitwiseCopyable {
  private(set) var first: PendingPiece?
  private var last: PendingPiece?
  private(set) var byteCount: UInt32 = 0
  private var memoryCount: UInt32 = 0

  @inline(__always) var isEmpty: Bool { byteCount == 0 }
  /// Bytes that the pieces cost at the allocator.
  var memory: Int { Int(memoryCount) }

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
        head.map(PendingPieces.freeAll)
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
    if last == nil { first = head }
    last?.next = head
    last = tail
  }

  /// Takes over all pieces of `other`, behind those that are there.
  mutating func append(_ other: PendingPieces) {
    guard let head = other.first, let tail = other.last else { return }
    link(head, tail)
    byteCount += other.byteCount
    memoryCount += other.memoryCount
  }

  // MARK: Out

  /// The size of the first packet with its prefix; nil where there is none.
  func firstPacketSize() -> Int? {
    guard !isEmpty, let piece = first else { return nil }
    return Int(UInt32(littleEndian: piece.bytes(at: piece.start).loadUnaligned(as: UInt32.self))) + Wire.sizePrefix
  }

  /// Whether the first packet is volatile.
  func beginWithVolatile() -> Bool { first.map { $0.beginsWithVolatile() } ?? false }

  /// Takes the first `skipped` bytes away, and gives the pieces back that are used up. The last stays, for what comes
  /// next, and so does the first piece that keeps something.
  mutating func skip(_ skipped: Int) {
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

  /// Drops volatile packets, except those of which something lies in the first `begun` bytes. Each piece keeps what it
  /// has of other packets, in no more memory than that needs, and is given back where that is nothing. Returns how many
  /// packets there were.
  mutating func dropVolatile(behind begun: Int) -> Int {
    var (dropped, rest, begun) = (0, 0, begun)
    var before: PendingPiece?
    var next = first
    while let piece = next {
      next = piece.next
      let count = piece.count
      let found = piece.dropVolatile(rest: rest, behind: min(begun, count))
      dropped += found.packets
      rest = found.rest
      begun &-= min(begun, count)
      byteCount -= UInt32(count - piece.count)
      guard piece.count < count else {
        before = piece
        continue
      }
      // One in which a volatile packet is begun stays as it is.
      guard !piece.hasVolatile else {
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

  /// Frees the unused memory of the first and the last piece. No other piece has any.
  mutating func fit() {
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
  func free() { first.map(PendingPieces.freeAll) }

  private static func freeAll(_ head: PendingPiece) {
    var next: PendingPiece? = head
    while let piece = next {
      next = piece.next
      piece.free()
    }
  }

  /// Traps if the invariant does not hold. For tests.
  func checkInvariants() {
    var (kept, cost) = (0, 0)
    var next = first
    while let piece = next {
      precondition(piece.room >= 0 && piece.start <= piece.end, "a piece keeps more than it has room for")
      kept += piece.count
      cost += piece.memory
      precondition((0...16).contains(piece.memory - piece.allocatedMemory), "a piece costs something else")
      precondition(piece.placesAreInOrder, "a volatile packet is not where it is said to be")
      next = piece.next
      if next == nil { precondition(piece.isSame(as: last), "the list does not end with the last piece") }
    }
    precondition(kept == byteCount, "\(byteCount) bytes are counted, \(kept) are kept")
    precondition(cost == memory, "\(memory) bytes of memory are counted, the pieces cost \(cost)")
  }
}
