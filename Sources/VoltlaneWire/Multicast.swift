/// One packet for many clients. It stands behind the tag of a packet with the flag ``ExtensionFlag/multicast``, whose
/// own id is 0:
///
///     0      1       5              5 + 8n
///     +------+-------+--------------+------- - -
///     | kind | u32 n | n x u64 id   | packet
///     +------+-------+--------------+------- - -
///
/// The kind is 0, for ordinary packets, or ``ExtensionFlag/volatile``: the packet goes to each id as one of that kind
/// would have gone by itself. An id that stands twice gets it twice.
public enum Multicast {
  /// Bytes of the kind and the number of ids.
  public static let prefix = 5

  /// The most ids that one packet may name.
  public static let maxIDs = 65_536

  /// By how much a multicast may be larger than a packet for one client.
  @inlinable public static var mostOverhead: Int { prefix + Wire.clientID * maxIDs }

  /// What goes on the wire before the packet of `count` bytes: size prefix, tag, kind and ids.
  ///
  /// - Parameters:
  ///   - ids: at most ``maxIDs``.
  ///   - isVolatile: whether it goes to each as a volatile packet.
  ///   - count: the packet's size in bytes.
  public static func framed(
    to ids: some Collection<UInt64>, isVolatile: Bool, dataCount count: Int
  ) -> [UInt8] {
    // Only what a backend links calls this, never the relay.
    precondition(ids.count <= maxIDs, "no multicast")
    var bytes = Wire.sizePrefixBytes(Wire.tag + prefix + Wire.clientID * ids.count + count)
    bytes.reserveCapacity(Wire.sizePrefix + Wire.tag + prefix + Wire.clientID * ids.count)
    bytes += [0, 0, 0, 0, 0, 0, 0, 0, ExtensionFlag.multicast.rawValue]
    bytes.append(isVolatile ? ExtensionFlag.volatile.rawValue : PacketFlag.data.rawValue)
    for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: ids.count >> shift)) }
    for id in ids {
      for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: id >> shift)) }
    }
    return bytes
  }
}
