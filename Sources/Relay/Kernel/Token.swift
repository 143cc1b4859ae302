/// What a completion belongs to, in the 64 bits that the kernel hands back. This is the only place that packs and
/// unpacks them:
///
///      63      56 55                32 31                              0
///     +----------+--------------------+---------------------------------+
///     | purpose  | index (24 bits)    | generation                      |
///     +----------+--------------------+---------------------------------+
///
/// The generation is that of the slot at `index`: it tells a late completion for a slot's last owner from one for its
/// next.
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

  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }

  init(_ purpose: Purpose, index: UInt32 = 0, generation: UInt32 = 0) {
    bits = UInt64(purpose.rawValue) << 56 | UInt64(index & 0xff_ffff) << 32 | UInt64(generation)
  }

  var purpose: Purpose { Purpose(rawValue: UInt8(truncatingIfNeeded: bits >> 56)) ?? .none }
  var index: UInt32 { UInt32(truncatingIfNeeded: bits >> 32) & 0xff_ffff }
  var generation: UInt32 { UInt32(truncatingIfNeeded: bits) }
}
