import CLinux
import Glibc

/// Owns the memory that several threads share: lanes, bells, counters. Its parts are handed out as pointers, which stay
/// valid as long as the arena lives; ``Relay`` keeps it until every thread has been joined.
final class Arena: @unchecked Sendable {
  private var blocks: [UnsafeMutableRawPointer] = []
  private var rings: [(base: UnsafeMutableRawPointer, byteCount: Int)] = []
  private var reserves: [(base: UnsafeMutableRawPointer, byteCount: Int)] = []

  init() {}

  deinit {
    for block in blocks { free(block) }
    for ring in rings { voltlane_unmap_twice(ring.base, ring.byteCount) }
    for reserve in reserves { voltlane_release(reserve.base, reserve.byteCount) }
  }

  /// Zeroed memory, aligned to 128 bytes so that what two threads write never shares a cache line (or a pair of lines,
  /// which prefetchers fetch together).
  func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    var block: UnsafeMutableRawPointer?
    let rounded = (byteCount + 127) & ~127
    let result = posix_memalign(&block, 128, rounded)
    guard result == 0, let block else { voltlane_cannot_start(rounded) }
    memset(block, 0, rounded)
    blocks.append(block)
    return block
  }

  /// Zeroed memory that costs address space only, until it is used; aligned to a page.
  func reserve(byteCount: Int) throws(RelayError) -> UnsafeMutableRawPointer {
    guard let base = voltlane_reserve(byteCount) else {
      throw .system(call: "mmap of \(byteCount) bytes", errno: errno)
    }
    reserves.append((base, byteCount))
    return base
  }

  /// A ring of `byteCount` bytes (a power of two, at least a page) that is mapped twice, end to end.
  func allocateRing(byteCount: Int) throws(RelayError) -> UnsafeMutableRawPointer {
    // The callers' sizes are constants of Limits, or rounded up to such.
    precondition(byteCount.nonzeroBitCount == 1 && byteCount >= 4096)
    guard let base = voltlane_map_twice(byteCount) else { throw .system(call: "memfd_create or mmap", errno: errno) }
    rings.append((base, byteCount))
    return base
  }
}
