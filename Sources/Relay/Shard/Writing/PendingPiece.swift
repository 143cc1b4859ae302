import CLinux
import Glibc
import VoltlaneWire

/// A piece of the memory in which packets wait for a client, in a list of such pieces.
///
///     0      8        12      16    20         24        start        end          memory - 24
///     +------+--------+-------+-----+----------+---------+------------+------+----------+
///     | next | memory | start | end | volatile |  taken  |    kept    | free | u32, u32 |
///     +------+--------+-------+-----+----------+---------+------------+------+----------+
///
/// At the end, last first, stand the places at which volatile packets begin, `volatile` of them: those are dropped when
/// the client's socket is gone, or memory is short. They may lie anywhere between others, and cost no piece of their
/// own. The first `passed` of them are no longer kept.
///
/// `memory` is what the piece costs the allocator, which puts 8 bytes of its own before each and may give 16 more than
/// it was asked for. The relay does not check whether it does, because its behaviour must not depend on that.
///
/// Invariant: `headerSize <= start <= end <= memory - 24 - 4 * volatile`; `memory` is a multiple of
/// `Limits.pendingPieceLeast`.
struct PendingPiece: BitwiseCopyable {
  private struct Header: BitwiseCopyable {
    var next: UnsafeMutableRawPointer?
    var memory: UInt32
    var start: UInt32
    var end: UInt32
    var volatileCount: UInt16 = 0
    var passedCount: UInt16 = 0
  }

  static let headerSize = 24
  private static let allocatorShare = 24
  /// What a piece needs besides for a volatile packet that begins in it.
  static let volatilePlace = 4

  private let base: UnsafeMutableRawPointer

  private init(_ base: UnsafeMutableRawPointer) { self.base = base }

  private var header: UnsafeMutablePointer<Header> { base.assumingMemoryBound(to: Header.self) }

  /// A piece that costs about `memory` bytes: nil where the system has no memory.
  static func allocate(memory: Int) -> PendingPiece? {
    let memory = rounded(memory)
    guard let base = malloc(memory - allocatorShare) else { return nil }
    base.bindMemory(to: Header.self, capacity: 1).initialize(
      to: Header(
        next: nil, memory: UInt32(memory), start: UInt32(headerSize), end: UInt32(headerSize)))
    return PendingPiece(base)
  }

  /// What a piece costs that has room for `byteCount` bytes.
  static func memory(for byteCount: Int) -> Int { rounded(headerSize + byteCount + allocatorShare) }

  private static func rounded(_ memory: Int) -> Int {
    (memory + Limits.pendingPieceLeast - 1) / Limits.pendingPieceLeast * Limits.pendingPieceLeast
  }

  func free() { Glibc.free(base) }

  func isSame(as other: PendingPiece?) -> Bool { base == other?.base }

  /// What the allocator says that it costs: ``memory`` or 16 less. For tests.
  var allocatedMemory: Int { voltlane_allocated(base) }

  var next: PendingPiece? {
    get { header.pointee.next.map(PendingPiece.init) }
    nonmutating set { header.pointee.next = newValue?.base }
  }

  /// Bytes that it costs at the allocator.
  var memory: Int { Int(header.pointee.memory) }
  /// Bytes that it would cost if it held no more than what is kept.
  var memoryNeeded: Int { PendingPiece.memory(for: count) }

  var start: UInt32 { header.pointee.start }
  var end: UInt32 { header.pointee.end }
  var count: Int { Int(end - start) }
  /// Bytes that can be appended.
  var room: Int { placesEnd - PendingPiece.volatilePlace * Int(header.pointee.volatileCount) - Int(end) }
  private var placesEnd: Int { memory - PendingPiece.allocatorShare }

  /// The bytes from `offset` on, which is between `start` and `end`.
  func bytes(at offset: UInt32) -> UnsafeMutableRawPointer { base + Int(offset) }

  /// Appends bytes for which there is room.
  func append(_ source: UnsafeRawPointer, _ byteCount: Int) {
    memcpy(base + Int(end), source, byteCount)
    header.pointee.end += UInt32(byteCount)
  }

  /// The packet that is appended next is volatile. There is room for it and for its place: a piece has room for far
  /// fewer packets than can be counted.
  func noteVolatile() {
    (base + volatilePlace(header.pointee.volatileCount)).storeBytes(of: end, as: UInt32.self)
    header.pointee.volatileCount &+= 1
  }

  private func volatilePlace(_ index: UInt16) -> Int { placesEnd - PendingPiece.volatilePlace * (Int(index) + 1) }

  private func placeOfVolatile(_ index: UInt16) -> Int { Int((base + volatilePlace(index)).load(as: UInt32.self)) }

  /// Whether a volatile packet of which something is kept begins here.
  var hasVolatile: Bool { header.pointee.volatileCount > 0 }

  /// Whether the packet that begins at the start of what is kept is volatile.
  func beginsWithVolatile() -> Bool {
    let count = header.pointee.volatileCount
    while header.pointee.passedCount < count, placeOfVolatile(header.pointee.passedCount) < Int(start) {
      header.pointee.passedCount &+= 1
    }
    return header.pointee.passedCount < count && placeOfVolatile(header.pointee.passedCount) == Int(start)
  }

  /// Drops the volatile packets that begin here, behind the first `begun` bytes, and the first `rest` bytes, which
  /// belong to one that begins in a piece before this. Returns how many packets there were, and how many bytes of the
  /// last lie in the next piece.
  func dropVolatile(rest: Int, behind begun: Int) -> (packets: Int, rest: Int) {
    let leading = min(rest, count)
    let firstDropped = Int(start) &+ begun
    skip(leading)
    var (packets, left) = (0, rest - leading)
    var kept: UInt16 = 0
    // What is kept moves up over what is dropped.
    var (from, to) = (Int(start), Int(start))
    func keep(upTo end: Int) {
      memmove(base + to, base + from, end - from)
      to += end - from
    }
    for index in 0..<header.pointee.volatileCount {
      let place = placeOfVolatile(index)
      // The packet at this place is no longer kept, or it is begun. It lies before all that are dropped.
      guard place >= max(from, firstDropped) else {
        kept = index &+ 1
        continue
      }
      keep(upTo: place)
      let size = Wire.sizePrefix + Int(UInt32(littleEndian: (base + place).loadUnaligned(as: UInt32.self)))
      from = min(place + size, Int(end))
      left = place + size - from
      packets += 1
    }
    keep(upTo: Int(end))
    header.pointee.end = UInt32(to)
    header.pointee.volatileCount = begun > 0 ? kept : 0
    header.pointee.passedCount = min(header.pointee.passedCount, header.pointee.volatileCount)
    return (packets, left)
  }

  /// Forgets the first `byteCount` of the bytes that are kept.
  func skip(_ byteCount: Int) { header.pointee.start += UInt32(byteCount) }

  /// Whether the places of volatile packets lie behind one another among what is kept, or before. For tests.
  var placesAreInOrder: Bool {
    var before: UInt32 = 0
    for index in 0..<header.pointee.volatileCount {
      let place = UInt32(placeOfVolatile(index))
      guard place > before, place < end else { return false }
      before = place
    }
    return true
  }

  /// Moves what is kept to a piece no larger than it needs, and frees this one. No packet in it is volatile. Returns
  /// the new piece, or this one if nothing would be gained or there is no memory.
  ///
  /// Shrinking this piece in place would leave holes that are too small for the next one. Measured: 44 KiB of resident
  /// memory, counted nowhere, for each session that went stale while 66 KiB waited for it.
  func fitted() -> PendingPiece {
    guard memoryNeeded < memory, let fitted = PendingPiece.allocate(memory: memoryNeeded) else { return self }
    fitted.append(bytes(at: start), count)
    fitted.next = next
    free()
    return fitted
  }
}
