import Glibc

/// What every packet contains: a function of its client and its sequence number, so that neither side of a run has to
/// remember any packet.
///
///     8 bytes or more:   u64 (client << 40 | sequence) | slice of a fixed pseudo-random table
///     0 to 7 bytes:      slice of the table
///
/// The slice starts at an offset that depends on client and sequence: a packet that comes back in another's place, or
/// with any byte changed, does not match. The table is small enough to stay in the cache: 16 KiB of offsets and one
/// packet. Where sizes differ, client and sequence decide on the size too. A trivial value; its tables are never freed.
struct Pattern {
  static let offsets = 16 * 1024
  /// Bytes of the label that packets of 8 bytes or more begin with.
  static let label = 8
  /// A packet's size prefix.
  static let prefix = 4
  private static let sizeCount = 4096

  let largest: Int
  /// Takes a client's number to that of whose packets it gets: its own, or, where all get the same, the first's.
  private let mask: Int
  /// Whether all packets have one size.
  private let isUniform: Bool
  private let sizes: UnsafeMutablePointer<Int32>
  private let table: UnsafeMutableRawPointer

  /// `isShared`: every client gets the same packets.
  init(_ sizes: PacketSizes, isShared: Bool = false) {
    largest = sizes.largest
    mask = isShared ? 0 : ~0
    isUniform = sizes.shares.count == 1
    self.sizes = .allocate(capacity: Pattern.sizeCount)
    self.sizes.initialize(from: sizes.table(Pattern.sizeCount), count: Pattern.sizeCount)
    let count = Pattern.offsets + largest
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

  /// Both factors are odd: neighbours never share an offset.
  @inline(__always)
  private func mixed(_ client: Int, _ sequence: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: client & mask) &* 7919 &+ sequence &* 4021
  }

  /// Bytes of the packet, without its size prefix.
  @inline(__always)
  func size(client: Int, sequence: UInt64) -> Int {
    if isUniform { return largest }
    // The top bits of a product, so that sizes follow one another without a visible order.
    let place = (mixed(client, sequence) &* 0x9e37_79b9_7f4a_7c15) >> 52
    return Int(sizes[Int(truncatingIfNeeded: place)])
  }

  /// Bytes of the packet with its size prefix.
  @inline(__always)
  func frame(client: Int, sequence: UInt64) -> Int { size(client: client, sequence: sequence) + Pattern.prefix }

  /// Bytes of the label in a packet of `size` bytes: 8, or 0 where the packet is too small for it.
  @inline(__always)
  static func labelCount(size: Int) -> Int { size >= label ? label : 0 }

  @inline(__always)
  func label(client: Int, sequence: UInt64) -> UInt64 {
    UInt64(truncatingIfNeeded: client & mask) << 40 | sequence & 0xff_ffff_ffff
  }

  /// The sequence number of a label, if it is one of `client`'s.
  @inline(__always)
  func sequence(ofLabel label: UInt64, client: Int) -> UInt64? {
    label >> 40 == UInt64(truncatingIfNeeded: client & mask) ? label & 0xff_ffff_ffff : nil
  }

  /// The bytes after the label.
  @inline(__always)
  func body(client: Int, sequence: UInt64) -> UnsafeRawPointer {
    UnsafeRawPointer(table) + Int(truncatingIfNeeded: mixed(client, sequence) & UInt64(Pattern.offsets - 1))
  }

  /// Writes the packet with its size prefix; returns how many bytes that is.
  @inline(__always)
  func write(client: Int, sequence: UInt64, to out: UnsafeMutableRawPointer) -> Int {
    let size = size(client: client, sequence: sequence)
    let labelCount = Pattern.labelCount(size: size)
    out.storeBytes(of: UInt32(truncatingIfNeeded: size).littleEndian, as: UInt32.self)
    if labelCount > 0 {
      out.storeBytes(
        of: label(client: client, sequence: sequence).littleEndian, toByteOffset: Pattern.prefix, as: UInt64.self)
    }
    memcpy(out + (Pattern.prefix + labelCount), body(client: client, sequence: sequence), size - labelCount)
    return Pattern.prefix + size
  }

  /// The bytes that the packet takes, if it is what stands at `bytes`, whole; 0 if not.
  @inline(__always)
  func match(_ bytes: UnsafeRawPointer, count: Int, client: Int, sequence: UInt64) -> Int {
    let size = size(client: client, sequence: sequence)
    guard count >= Pattern.prefix + size else { return 0 }
    let prefix = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
    guard prefix == UInt32(truncatingIfNeeded: size) else { return 0 }
    let labelCount = Pattern.labelCount(size: size)
    if labelCount > 0 {
      let found = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: Pattern.prefix, as: UInt64.self))
      guard found == label(client: client, sequence: sequence) else { return 0 }
    }
    let body = body(client: client, sequence: sequence)
    return memcmp(bytes + (Pattern.prefix + labelCount), body, size - labelCount) == 0 ? Pattern.prefix + size : 0
  }
}
