import Glibc

/// What every packet contains: a function of its client and its sequence number, so that neither side of a run has to
/// remember any packet.
///
///     8 bytes or more:   u64 (client << 40 | sequence) | slice of a fixed pseudo-random table
///     0 to 7 bytes:      slice of the table
///
/// The slice starts at an offset that depends on client and sequence: a packet that comes back in another's place, or
/// with any byte changed, does not match. The table is small enough to stay in the cache: 16 KiB of offsets and one
/// packet. A trivial value; the table is never freed.
struct Pattern {
  static let offsets = 16 * 1024
  /// Bytes of the label that packets of 8 bytes or more begin with.
  static let label = 8

  /// A packet's size prefix.
  static let prefix = 4

  let size: Int
  /// The packet with its size prefix.
  let frame: Int
  /// Bytes of the label: 8, or 0 where the packet is too small for it.
  let labelCount: Int
  /// Bytes of the slice.
  let bodyCount: Int
  private let table: UnsafeMutableRawPointer

  init(size: Int) {
    self.size = size
    frame = size + Pattern.prefix
    labelCount = size >= Pattern.label ? Pattern.label : 0
    bodyCount = size - labelCount
    let count = Pattern.offsets + size
    table = .allocate(byteCount: count, alignment: 64)
    // xorshift64*: any fixed sequence will do.
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    for index in 0..<count {
      state ^= state >> 12
      state ^= state << 25
      state ^= state >> 27
      table.storeBytes(
        of: UInt8(truncatingIfNeeded: (state &* 0x2545_f491_4f6c_dd1d) >> 56), toByteOffset: index, as: UInt8.self)
    }
  }

  @inline(__always)
  func label(client: Int, sequence: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: client) << 40 | sequence & 0xff_ffff_ffff
  }

  /// The sequence number of a label, if it is one of `client`'s.
  @inline(__always)
  func sequence(ofLabel label: UInt64, client: Int) -> UInt64? {
    label >> 40 == UInt64(truncatingIfNeeded: client) ? label & 0xff_ffff_ffff : nil
  }

  /// The `bodyCount` bytes after the label. Both factors are odd: neighbours never share an offset.
  @inline(__always)
  func body(client: Int, sequence: UInt64) -> UnsafeRawPointer {
    let mixed = UInt64(truncatingIfNeeded: client) &* 7919 &+ sequence &* 4021
    return UnsafeRawPointer(table) + Int(truncatingIfNeeded: mixed & UInt64(Pattern.offsets - 1))
  }

  /// Writes the packet with its size prefix, `frame` bytes.
  @inline(__always)
  func write(client: Int, sequence: UInt64, to out: UnsafeMutableRawPointer) {
    out.storeBytes(of: UInt32(truncatingIfNeeded: size).littleEndian, as: UInt32.self)
    if labelCount > 0 {
      out.storeBytes(
        of: label(client: client, sequence: sequence).littleEndian, toByteOffset: Pattern.prefix, as: UInt64.self)
    }
    memcpy(out + (Pattern.prefix + labelCount), body(client: client, sequence: sequence), bodyCount)
  }

  /// Whether `frame` bytes are this packet.
  @inline(__always)
  func matches(_ bytes: UnsafeRawPointer, client: Int, sequence: UInt64) -> Bool {
    let prefix = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
    guard prefix == UInt32(truncatingIfNeeded: size) else { return false }
    if labelCount > 0 {
      let found = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: Pattern.prefix, as: UInt64.self))
      guard found == label(client: client, sequence: sequence) else { return false }
    }
    return memcmp(bytes + (Pattern.prefix + labelCount), body(client: client, sequence: sequence), bodyCount) == 0
  }
}
