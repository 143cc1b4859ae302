import VoltlaneCrypto

/// Client ids: unguessable from one another, never used twice, and found again by arithmetic.
///
/// A session lives in a *cell*, 24 bits that name its shard and its slot there; the cell's *generation*, 40 bits,
/// counts the sessions it has held. The id is
///
///      63                                    24 23                     0
///     +----------------------------------------+------------------------+
///     | T = E(cell, generation)                | cell ^ h(T)            |
///     +----------------------------------------+------------------------+
///
/// E(cell, _) is a balanced Feistel network over 40 bits, eight rounds with SipHash-2-4 as the round function, keyed at
/// start and tweaked by the cell; h is multiplication by a secret odd number. A Feistel network is a permutation
/// whatever its round function, and xor with a function of T can be undone by whoever knows T: so (cell, generation) ->
/// id is one to one, and an id comes again only when a cell's 2^40 generations are used up, whereupon the cell is
/// retired.
///
/// T is computed once a session. Finding a session needs only h and one comparison with the id that the cell holds.
struct ClientIDs: Sendable {
  private let hash: ShortHash
  private let multiplier: UInt64
  private let slotBits: UInt64
  private let slotMask: UInt64

  static let generations: UInt64 = 1 << 40
  private static let cellMask: UInt64 = (1 << Limits.cellBits) - 1
  private static let half: UInt64 = (1 << 20) - 1

  /// `random` gives three secret numbers; the 24 bits of a cell are divided among `shards`.
  init(shards: Int, random: () -> UInt64) {
    hash = ShortHash(key: (random(), random()))
    multiplier = random() | 1
    var shardBits: UInt64 = 0
    while 1 << shardBits < shards { shardBits += 1 }
    slotBits = Limits.cellBits - shardBits
    slotMask = 1 << slotBits - 1
  }

  /// Slots of each shard.
  var slotsPerShard: Int { 1 << Int(slotBits) }

  func id(shard: Int, slot: UInt32, generation: UInt64) -> UInt64 {
    let cell = UInt64(shard) << slotBits | UInt64(slot)
    var left = generation >> 20 & ClientIDs.half
    var right = generation & ClientIDs.half
    for round in 0..<8 as Range<UInt64> {
      (left, right) = (right, left ^ hash(cell << 32 | round << 24 | right) & ClientIDs.half)
    }
    let top = left << 20 | right
    return top << Limits.cellBits | (cell ^ mask(top))
  }

  /// The shard and slot that `id` names, whether or not it was ever given out.
  @inline(__always)
  func place(of id: UInt64) -> (shard: Int, slot: UInt32) {
    let cell = (id ^ mask(id >> Limits.cellBits)) & ClientIDs.cellMask
    return (Int(truncatingIfNeeded: cell &>> slotBits), UInt32(truncatingIfNeeded: cell & slotMask))
  }

  @inline(__always)
  private func mask(_ top: UInt64) -> UInt64 { (top &* multiplier) >> 40 }
}
