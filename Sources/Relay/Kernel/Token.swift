/// What a completion belongs to, in the 64 bits that the kernel hands back. This is the only place that packs and
/// unpacks them:
///
///      63    60 59          52 51    48 47                24 23                         0
///     +--------+--------------+--------+--------------------+----------------------------+
///     | purpose| shard        | stay   | index              | generation                 |
///     +--------+--------------+--------+--------------------+----------------------------+
///
/// The shard and the stay tell the host which of its roles a completion is for: a role that moves to another host
/// begins a new stay there, so what its old ring still completes reaches nobody. The generation is that of the slot at
/// `index`: it tells a late completion for a slot's last owner from one for its next.
struct Token: Equatable {
  enum Purpose: UInt8 {
    /// Nobody waits for it: closes, cancels, doorbells.
    case none
    /// The time that a wait was given is over.
    case timeout
    case accept
    case clientReadable
    case clientWritable
    case clientSent
    case firehoseReadable
    case firehoseWritable
    case resolved
    /// A doorbell of another host.
    case bell
    /// A doorbell that this host rang was not heard: the index is that of the other host's ring.
    case unheardBell
    /// The control thread wants attention.
    case control
  }

  /// The role that waits for a completion, and which of its stays at hosts began the operation; there are 16 numbers of
  /// stays, in turn, and a stay lasts for longer than a completion is late.
  struct Waiter: Equatable {
    fileprivate var bits: UInt64

    init(shard: Int) { bits = UInt64(truncatingIfNeeded: shard & 0xff) << 52 }

    var shard: Int { Int(bits >> 52 & 0xff) }

    /// The role is at another host from now on.
    mutating func moves() { bits = bits & ~(0xf << 48) | ((bits >> 48 &+ 1) & 0xf) << 48 }
  }

  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }

  @inline(__always)
  init(_ purpose: Purpose, of waiter: Waiter = Waiter(shard: 0), index: UInt32 = 0, generation: UInt32 = 0) {
    bits =
      UInt64(purpose.rawValue) << 60 | waiter.bits | UInt64(index & 0xff_ffff) << 24
      | UInt64(generation & Token.generationMask)
  }

  /// Generations are numbers up to this, in turn.
  static let generationMask: UInt32 = 0xff_ffff

  var purpose: Purpose { Purpose(rawValue: UInt8(truncatingIfNeeded: bits >> 60)) ?? .none }
  @inline(__always) var shard: Int { Int(truncatingIfNeeded: bits >> 52 & 0xff) }
  @inline(__always) var index: UInt32 { UInt32(truncatingIfNeeded: bits >> 24) & 0xff_ffff }
  @inline(__always) var generation: UInt32 { UInt32(truncatingIfNeeded: bits) & Token.generationMask }

  @inline(__always)
  func isFor(_ waiter: Waiter) -> Bool { (bits ^ waiter.bits) & (0xfff << 48) == 0 }
}
