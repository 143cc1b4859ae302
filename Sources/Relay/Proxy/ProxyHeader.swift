import VoltlaneWire

/// What a load balancer sends first on a client's connection: whose it is. Versions 1 and 2 of the PROXY protocol.
///
///     version 1, a line of at most 107 bytes:
///       PROXY TCP4 <source> <destination> <source port> <destination port>\r\n
///       PROXY UNKNOWN ...\r\n
///
///     version 2:
///     0               12       13       14       16
///     +---------------+--------+--------+--------+-----------+------------------------------+
///     | signature     | 2, 0/1 | family | length | addresses | u8 type, u16 length, value.. |
///     +---------------+--------+--------+--------+-----------+------------------------------+
///                                       |<--------- length bytes, big-endian ------------->|
struct ProxyHeader: Equatable {
  /// Bytes of the header; what follows them is the client's.
  let byteCount: Int
  /// The client's address; nil where the proxy speaks for itself, or does not know.
  let client: ClientAddress?

  enum Outcome: Equatable {
    case header(ProxyHeader)
    /// So far it is one, and more has to come.
    case incomplete
    case malformed
  }

  /// The longest that is taken: the values of version 2 are seldom more than a few hundred bytes.
  static let longest = 16 + 4096
  static let longestLine = 107

  private static let signature: InlineArray<12, UInt8> = [
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
  ]
  private static let word: InlineArray<6, UInt8> = [0x50, 0x52, 0x4f, 0x58, 0x59, 0x20]

  /// Looks at what a connection began with.
  static func parse(_ bytes: RawSpan) -> Outcome {
    guard bytes.byteCount > 0 else { return .incomplete }
    if bytes.byte(at: 0) == signature[0] {
      for offset in 0..<min(12, bytes.byteCount) where bytes.byte(at: offset) != signature[offset] { return .malformed }
      return bytes.byteCount < 16 ? .incomplete : parseBinary(bytes)
    }
    for offset in 0..<min(6, bytes.byteCount) where bytes.byte(at: offset) != word[offset] { return .malformed }
    return parseLine(bytes)
  }

  // MARK: Version 1

  private static func parseLine(_ bytes: RawSpan) -> Outcome {
    let most = min(bytes.byteCount, longestLine)
    guard let end = (0..<most).first(where: { bytes.byte(at: $0) == 0x0a }) else {
      return most < longestLine ? .incomplete : .malformed
    }
    guard end > 0, bytes.byte(at: end - 1) == 0x0d else { return .malformed }
    // Where the fields are, which single spaces part; at most one more than there may be. Nothing is allocated.
    var fields = InlineArray<7, Range<Int>>(repeating: 0..<0)
    var count = 0
    var start = 0
    for offset in 0..<end where count < fields.count && (offset == end - 1 || bytes.byte(at: offset) == 0x20) {
      fields[count] = start..<offset
      count += 1
      start = offset + 1
    }
    guard count > 1 else { return .malformed }
    if isWord(fields[1], "UNKNOWN", in: bytes) { return .header(ProxyHeader(byteCount: end + 1, client: nil)) }
    let isV6 = isWord(fields[1], "TCP6", in: bytes)
    guard count == 6, isV6 || isWord(fields[1], "TCP4", in: bytes), isPort(fields[4], in: bytes),
      isPort(fields[5], in: bytes), let source = address(fields[2], isV6: isV6, in: bytes),
      address(fields[3], isV6: isV6, in: bytes) != nil
    else { return .malformed }
    return .header(ProxyHeader(byteCount: end + 1, client: source))
  }

  private static func isWord(_ field: Range<Int>, _ word: StaticString, in bytes: RawSpan) -> Bool {
    guard field.count == word.utf8CodeUnitCount else { return false }
    return word.withUTF8Buffer { word in
      for index in 0..<field.count where bytes.byte(at: field.lowerBound + index) != word[index] { return false }
      return true
    }
  }

  private static func address(_ field: Range<Int>, isV6: Bool, in bytes: RawSpan) -> ClientAddress? {
    // The longest text of an address, and a zero.
    var text = InlineArray<46, UInt8>(repeating: 0)
    guard field.count < text.count else { return nil }
    for index in 0..<field.count { text[index] = bytes.byte(at: field.lowerBound + index) }
    return ClientAddress(text: text.span.bytes, isV6: isV6)
  }

  private static func isPort(_ field: Range<Int>, in bytes: RawSpan) -> Bool {
    var number = 0
    for offset in field {
      guard (0x30...0x39).contains(bytes.byte(at: offset)) else { return false }
      number = min(number * 10 + Int(bytes.byte(at: offset) - 0x30), Int(UInt16.max) + 1)
    }
    return !field.isEmpty && number <= UInt16.max
  }

  // MARK: Version 2

  private static func parseBinary(_ bytes: RawSpan) -> Outcome {
    let command = bytes.byte(at: 12)
    let length = bigEndian(bytes, at: 14)
    let end = 16 + length
    guard command == 0x20 || command == 0x21, end <= longest else { return .malformed }
    guard bytes.byteCount >= end else { return .incomplete }
    // Of a connection of the proxy's own nothing but its length is looked at.
    if command == 0x20 { return .header(ProxyHeader(byteCount: end, client: nil)) }
    let header = bytes.extracting(0..<end)
    let family = bytes.byte(at: 13)
    // A family that is not known, and datagrams, tell nothing of a client.
    let (addresses, client): (Int, ClientAddress?)
    switch family {
    case 0x11: (addresses, client) = (12, length < 12 ? nil : v4(bytes, at: 16))
    case 0x21: (addresses, client) = (36, length < 36 ? nil : v6(bytes, at: 16))
    case 0x31: (addresses, client) = (216, ClientAddress.none)
    case 0x00: (addresses, client) = (0, nil)
    default: return .malformed
    }
    guard length >= addresses else { return .malformed }
    // What an unspecified family has behind it is not addresses, nor need it be values.
    guard family == 0 || areWhole(header, from: 16 + addresses) else { return .malformed }
    return .header(ProxyHeader(byteCount: end, client: client))
  }

  /// Whether the values fill the rest of the header, and the checksum is right where there is one.
  private static func areWhole(_ header: RawSpan, from start: Int) -> Bool {
    var offset = start
    while offset < header.byteCount {
      guard header.byteCount - offset >= 3 else { return false }
      let value = offset + 3
      let length = bigEndian(header, at: offset + 1)
      guard header.byteCount - value >= length else { return false }
      if header.byte(at: offset) == 0x03 {
        guard length == 4 else { return false }
        let given = (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(header.byte(at: value + $1)) }
        guard given == CRC32C.checksum(header, zeroed: value..<(value + 4)) else { return false }
      }
      offset = value + length
    }
    return true
  }

  private static func bigEndian(_ bytes: RawSpan, at offset: Int) -> Int {
    Int(bytes.byte(at: offset)) << 8 | Int(bytes.byte(at: offset + 1))
  }

  private static func v4(_ bytes: RawSpan, at offset: Int) -> ClientAddress {
    ClientAddress(v4: (0..<4).reduce(0) { $0 << 8 | UInt32(bytes.byte(at: offset + $1)) })
  }

  private static func v6(_ bytes: RawSpan, at offset: Int) -> ClientAddress {
    ClientAddress(bits: (0..<16).reduce(0) { $0 << 8 | UInt128(bytes.byte(at: offset + $1)) })
  }
}
