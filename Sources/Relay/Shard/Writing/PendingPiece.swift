import CLinux
import Glibc

/// A piece of the memory in which packets wait for a client, in a list of such pieces.
///
///     0      8        12      16    20   24        start        end        memory - 24
///     +------+--------+-------+-----+----+---------+------------+----------+
///     | next | memory | start | end |    |  taken  |    kept    |   free   |
///     +------+--------+-------+-----+----+---------+------------+----------+
///
/// `memory` is what the piece costs at the allocator, which puts 8 bytes of its own before each and may give 16 more
/// than it was asked for. Whether it does is not looked at: the relay is not to behave in another way for that.
///
/// Invariant: `headerSize <= start <= end <= memory - 24`; `memory` is a multiple of `Limits.pendingPieceLeast`.
struct PendingPiece: BitwiseCopyable {
  private struct Header: BitwiseCopyable {
    var next: UnsafeMutableRawPointer?
    var memory: UInt32
    var start: UInt32
    var end: UInt32
  }

  static let headerSize = 24
  private static let allocatorShare = 24

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
  var room: Int { memory - PendingPiece.allocatorShare - Int(end) }

  /// The bytes from `offset` on, which is between `start` and `end`.
  func bytes(at offset: UInt32) -> UnsafeMutableRawPointer { base + Int(offset) }

  /// Appends bytes for which there is room.
  func append(_ source: UnsafeRawPointer, _ byteCount: Int) {
    memcpy(base + Int(end), source, byteCount)
    header.pointee.end += UInt32(byteCount)
  }

  /// Forgets the first `byteCount` of the bytes that are kept.
  func skip(_ byteCount: Int) { header.pointee.start += UInt32(byteCount) }

  /// Moves what is kept to a piece no larger than it needs, and gives this one back. Returns that piece, or this one
  /// where nothing would be won or there is no memory.
  ///
  /// Shrinking this one in place would leave holes that are too small for the next piece: measured,
  /// 44 KiB of resident memory, counted nowhere, for each session that went stale while 66 KiB waited for it.
  func fitted() -> PendingPiece {
    guard memoryNeeded < memory, let fitted = PendingPiece.allocate(memory: memoryNeeded) else { return self }
    fitted.append(bytes(at: start), count)
    fitted.next = next
    free()
    return fitted
  }
}
