import VoltlaneWire

/// What a load balancer sends first on a client's connection, to say who the client is: PROXY protocol, versions 1 and
/// 2.
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
///
/// The first 232 bytes say who the client is; ``ProxyValues`` has the rest.
struct ProxyHeader: Equatable {
  /// Bytes of the header up to the values; what follows the values belongs to the client.
  let byteCount: Int
  /// The client's address; nil if the proxy speaks for itself, or does not know.
  let client: ClientAddress?
  /// The port that the client connects from; 0 where there is none.
  var port: UInt16 = 0
  /// What follows after `byteCount`.
  let values: ProxyValues

  enum Outcome: Equatable {
    case header(ProxyHeader)
    /// It looks like a header so far, and is not complete.
    case incomplete
    case malformed(ProxyFault)
  }

  /// The most that is needed to know the client: version 2 with the addresses of unix sockets. A line of version 1 is
  /// shorter.
  static let longestStart = fixed + 216
  static let longestLine = 107
  private static let fixed = 16

  private static let signature: InlineArray<12, UInt8> = [
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
  ]
  private static let word: InlineArray<6, UInt8> = [0x50, 0x52, 0x4f, 0x58, 0x59, 0x20]

  /// Examines the beginning of a connection.
  static func parse(_ bytes: RawSpan) -> Outcome {
    guard bytes.byteCount > 0 else { return .incomplete }
    if bytes.byte(at: 0) == signature[0] {
      for offset in 0..<min(12, bytes.byteCount) where bytes.byte(at: offset) != signature[offset] {
        return .malformed(.noHeader)
      }
      return bytes.byteCount < fixed ? .incomplete : parseBinary(bytes)
    }
    for offset in 0..<min(6, bytes.byteCount) where bytes.byte(at: offset) != word[offset] {
      return .malformed(.noHeader)
    }
    return parseLine(bytes)
  }

  // MARK: Version 1

  private static func parseLine(_ bytes: RawSpan) -> Outcome {
    let most = min(bytes.byteCount, longestLine)
    guard let end = (0..<most).first(where: { bytes.byte(at: $0) == 0x0a }) else {
      return most < longestLine ? .incomplete : .malformed(.line)
    }
    guard end > 0, bytes.byte(at: end - 1) == 0x0d else { return .malformed(.line) }
    // Where the fields are, which are separated by single spaces; at most one more than allowed. Nothing is allocated.
    var fields = InlineArray<7, Range<Int>>(repeating: 0..<0)
    var count = 0
    var start = 0
    for offset in 0..<end where count < fields.count && (offset == end - 1 || bytes.byte(at: offset) == 0x20) {
      fields[count] = start..<offset
      count += 1
      start = offset + 1
    }
    guard count > 1 else { return .malformed(.line) }
    let values = ProxyValues(behind: bytes.extracting(0..<0), count: 0, areChecked: false)
    if isWord(fields[1], "UNKNOWN", in: bytes) {
      return .header(ProxyHeader(byteCount: end + 1, client: nil, values: values))
    }
    let isV6 = isWord(fields[1], "TCP6", in: bytes)
    guard count == 6, isV6 || isWord(fields[1], "TCP4", in: bytes), let port = number(ofPort: fields[4], in: bytes),
      number(ofPort: fields[5], in: bytes) != nil, let source = address(fields[2], isV6: isV6, in: bytes),
      address(fields[3], isV6: isV6, in: bytes) != nil
    else { return .malformed(.line) }
    return .header(ProxyHeader(byteCount: end + 1, client: source, port: port, values: values))
  }

  private static func isWord(_ field: Range<Int>, _ word: StaticString, in bytes: RawSpan) -> Bool {
    guard field.count == word.utf8CodeUnitCount else { return false }
    return word.withUTF8Buffer { word in
      for index in 0..<field.count where bytes.byte(at: field.lowerBound + index) != word[index] { return false }
      return true
    }
  }

  private static func address(_ field: Range<Int>, isV6: Bool, in bytes: RawSpan) -> ClientAddress? {
    // The longest text of an address, and a zero byte.
    var text = InlineArray<46, UInt8>(repeating: 0)
    guard field.count < text.count else { return nil }
    for index in 0..<field.count { text[index] = bytes.byte(at: field.lowerBound + index) }
    return ClientAddress(text: text.span.bytes, isV6: isV6)
  }

  private static func number(ofPort field: Range<Int>, in bytes: RawSpan) -> UInt16? {
    var number = 0
    for offset in field {
      guard (0x30...0x39).contains(bytes.byte(at: offset)) else { return nil }
      number = min(number * 10 + Int(bytes.byte(at: offset) - 0x30), Int(UInt16.max) + 1)
    }
    return field.isEmpty ? nil : UInt16(exactly: number)
  }

  // MARK: Version 2

  private static func parseBinary(_ bytes: RawSpan) -> Outcome {
    let command = bytes.byte(at: 12)
    guard command >> 4 == 2 else { return .malformed(.version) }
    let length = bigEndian(bytes, at: 14)
    switch command & 15 {
    // For a connection of the proxy's own, only the length matters.
    case 0: return .header(header(bytes, addresses: 0, length, nil, areChecked: false))
    case 1: break
    default: return .malformed(.command)
    }
    let (family, transport) = (bytes.byte(at: 13) >> 4, bytes.byte(at: 13) & 15)
    guard family <= 3, transport <= 2 else { return .malformed(.family) }
    // An unspecified family or protocol is followed neither by addresses nor necessarily by values.
    guard family > 0, transport > 0 else {
      return .header(header(bytes, addresses: 0, length, nil, areChecked: false))
    }
    // Datagrams too: a proxy that speaks QUIC outside says so, and its addresses are the client's all the same.
    let addresses = family == 1 ? 12 : family == 2 ? 36 : 216
    guard length >= addresses else { return .malformed(.addresses) }
    guard bytes.byteCount >= fixed + addresses else { return .incomplete }
    let client = family == 1 ? v4(bytes, at: fixed) : family == 2 ? v6(bytes, at: fixed) : ClientAddress.none
    // Behind both addresses; those of unix sockets are paths.
    let port = family == 3 ? 0 : bigEndian(bytes, at: fixed + (family == 1 ? 8 : 32))
    return .header(
      header(bytes, addresses: addresses, length, client, UInt16(truncatingIfNeeded: port), areChecked: true))
  }

  private static func header(
    _ bytes: RawSpan, addresses: Int, _ length: Int, _ client: ClientAddress?, _ port: UInt16 = 0, areChecked: Bool
  ) -> ProxyHeader {
    let start = bytes.extracting(0..<(fixed + addresses))
    let values = ProxyValues(behind: start, count: length - addresses, areChecked: areChecked)
    return ProxyHeader(byteCount: start.byteCount, client: client, port: port, values: values)
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
