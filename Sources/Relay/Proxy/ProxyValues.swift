import VoltlaneWire

/// The values after the addresses of a version 2 PROXY header, up to 64 KiB: certificates, names, whatever a load
/// balancer knows. None of it is kept. They are checked as they arrive, because they must end where the header ends,
/// and one of them may be a checksum of the whole.
///
/// Invariant: at most `remaining` bytes of a value have yet to arrive, or the fault was reported.
struct ProxyValues: Equatable, BitwiseCopyable {
  /// Bytes of the header that have not arrived.
  private(set) var remaining: UInt16
  /// Bytes of the value that have not arrived, and how many of the three before it have.
  private var valueLeft: UInt16 = 0
  private var headCount: UInt8 = 0
  private var type: UInt8 = 0
  private var lengthHigh: UInt8 = 0
  private var notes: UInt8
  private var sum: UInt32
  private var given: UInt32 = 0

  private static let areChecked: UInt8 = 1
  private static let hasChecksum: UInt8 = 2
  private static let checksumType: UInt8 = 0x03
  private static let checksumLength: UInt16 = 4

  /// The values of a header that begins with `start`. If they are not to be checked, they are only skipped.
  init(behind start: RawSpan, count: Int, areChecked: Bool) {
    remaining = UInt16(count)
    notes = areChecked ? ProxyValues.areChecked : 0
    var crc = CRC32C()
    if areChecked { for offset in 0..<start.byteCount { crc.update(start.byte(at: offset)) } }
    sum = crc.state
  }

  /// Parses the next bytes, at most ``remaining``. Returns what is wrong, once that is clear.
  mutating func parse(_ bytes: RawSpan) -> ProxyFault? {
    remaining -= UInt16(bytes.byteCount)
    guard notes & ProxyValues.areChecked != 0 else { return nil }
    var crc = CRC32C(state: sum)
    for offset in 0..<bytes.byteCount {
      let byte = bytes.byte(at: offset)
      let isOfChecksum = headCount == 3 && type == ProxyValues.checksumType
      crc.update(isOfChecksum ? 0 : byte)
      switch headCount {
      case 0: type = byte
      case 1: lengthHigh = byte
      case 2:
        valueLeft = UInt16(lengthHigh) << 8 | UInt16(byte)
        if type == ProxyValues.checksumType, valueLeft != ProxyValues.checksumLength { return .values }
      default:
        valueLeft -= 1
        if isOfChecksum { given = given << 8 | UInt32(byte) }
      }
      headCount = min(headCount + 1, 3)
      if headCount == 3, valueLeft == 0 {
        if type == ProxyValues.checksumType { notes |= ProxyValues.hasChecksum }
        headCount = 0
      }
    }
    sum = crc.state
    guard remaining == 0 else { return nil }
    if headCount != 0 { return .values }
    return notes & ProxyValues.hasChecksum != 0 && given != crc.checksum ? .checksum : nil
  }

  // MARK: In two words

  /// What a connection keeps while the values arrive.
  var words: (UInt64, UInt64) {
    let first =
      UInt64(remaining) | UInt64(valueLeft) << 16 | UInt64(headCount) << 32 | UInt64(type) << 40
      | UInt64(lengthHigh) << 48 | UInt64(notes) << 56
    return (first, UInt64(sum) | UInt64(given) << 32)
  }

  init(words: (UInt64, UInt64)) {
    remaining = UInt16(truncatingIfNeeded: words.0)
    valueLeft = UInt16(truncatingIfNeeded: words.0 >> 16)
    headCount = UInt8(truncatingIfNeeded: words.0 >> 32)
    type = UInt8(truncatingIfNeeded: words.0 >> 40)
    lengthHigh = UInt8(truncatingIfNeeded: words.0 >> 48)
    notes = UInt8(truncatingIfNeeded: words.0 >> 56)
    sum = UInt32(truncatingIfNeeded: words.1)
    given = UInt32(truncatingIfNeeded: words.1 >> 32)
  }
}
