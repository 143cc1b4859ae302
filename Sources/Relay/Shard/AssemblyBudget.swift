import Synchronization

/// What the unfinished packets of all shards together may hold (`--assembly-budget`), and which shard holds the largest:
/// over the budget, the largest ends its client, wherever it is.
///
///     offset   0   bytes charged
///            128   for each shard, 128 bytes apart:  the size of its largest   |  whether it is asked to end it
struct AssemblyBudget: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  private let shards: Int
  let limit: Int

  init(_ arena: Arena, limit: Int, shards: Int) {
    base = arena.allocate(byteCount: 128 * (shards + 1))
    self.limit = limit
    self.shards = shards
  }

  var charged: Int { Int(atomic(0).pointee.load(ordering: .relaxed)) }

  var isExceeded: Bool { charged > limit }

  func charge(_ byteCount: Int) {
    atomic(0).pointee.add(UInt64(bitPattern: Int64(byteCount)), ordering: .relaxed)
  }

  func giveBack(_ byteCount: Int) {
    atomic(0).pointee.subtract(UInt64(byteCount), ordering: .relaxed)
  }

  /// Shard `shard`'s largest unfinished packet is now about `byteCount` long.
  func publishLargest(_ byteCount: Int, of shard: Int) {
    atomic(128 * (shard + 1)).pointee.store(UInt64(byteCount), ordering: .relaxed)
  }

  /// The shard with the largest unfinished packet.
  func shardWithLargest() -> Int {
    (0..<shards).max { largest(of: $0) < largest(of: $1) } ?? 0
  }

  func largest(of shard: Int) -> UInt64 {
    atomic(128 * (shard + 1)).pointee.load(ordering: .relaxed)
  }

  func requestEnd(of shard: Int) {
    atomic(128 * (shard + 1) + 8).pointee.store(1, ordering: .relaxed)
  }

  @inline(__always)
  func takeRequest(_ shard: Int) -> Bool {
    let request = atomic(128 * (shard + 1) + 8)
    guard request.pointee.load(ordering: .relaxed) != 0 else { return false }
    request.pointee.store(0, ordering: .relaxed)
    return true
  }

  @inline(__always)
  private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
