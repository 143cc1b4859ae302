/// Why a text is not JSON, and where.
package struct JSONError: Error, Equatable, CustomStringConvertible {
  /// In bytes.
  package let offset: Int
  package let reason: String

  package var description: String { "\(reason) at byte \(offset)" }
}

extension JSON {
  /// Reads a text that is one value. Nothing in it can make this run out of stack: values lie in one another no deeper
  /// than ``deepest``.
  package init(reading text: String) throws(JSONError) { try self.init(utf8: Array(text.utf8)) }

  package init(utf8 bytes: [UInt8]) throws(JSONError) {
    var reader = JSONReader(bytes: bytes)
    self = try reader.whole()
  }

  package static let deepest = 32
}

private struct JSONReader {
  let bytes: [UInt8]
  var at = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func whole() throws(JSONError) -> JSON {
    let value = try value(depth: 0)
    skipSpace()
    guard at == bytes.count else { throw error("something follows the value") }
    return value
  }

  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func error(_ reason: String) -> JSONError { JSONError(offset: at, reason: reason) }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { at += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSON {
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"): return try number()
    case let byte? where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte): return try number()
    case nil: throw error("a value is missing")
    default: throw error("no value begins like this")
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    for byte in "\(word)".utf8 {
      guard next == byte else { throw error("no value begins like this") }
      at += 1
    }
    return value
  }

  private mutating func digits() -> Bool {
    let start = at
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { at += 1 }
    return at > start
  }

  private mutating func number() throws(JSONError) -> JSON {
    let start = at
    _ = take("-")
    if !take("0"), !digits() { throw error("a number has no digits") }
    if take("."), !digits() { throw error("a number ends with its point") }
    if take("e") || take("E") {
      if !take("+") { _ = take("-") }
      guard digits() else { throw error("a number ends with its exponent's sign") }
    }
    return .number(String(decoding: bytes[start..<at], as: UTF8.self))
  }

  private mutating func array(_ depth: Int) throws(JSONError) -> JSON {
    guard depth < JSON.deepest else { throw error("values lie in one another too deeply") }
    at += 1
    var values: [JSON] = []
    skipSpace()
    if take("]") { return .array(values) }
    while true {
      values.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return .array(values) }
      guard take(",") else { throw error("neither , nor ] follows a value") }
    }
  }

  private mutating func object(_ depth: Int) throws(JSONError) -> JSON {
    guard depth < JSON.deepest else { throw error("values lie in one another too deeply") }
    at += 1
    var members: [JSON.Member] = []
    skipSpace()
    if take("}") { return .object(members) }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw error("a member has no name") }
      let name = try string()
      skipSpace()
      guard take(":") else { throw error("no : follows a name") }
      members.append(JSON.Member(name, try value(depth: depth + 1)))
      skipSpace()
      if take("}") { return .object(members) }
      guard take(",") else { throw error("neither , nor } follows a member") }
    }
  }

  private mutating func string() throws(JSONError) -> String {
    at += 1
    var text: [UInt8] = []
    while let byte = next {
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw error("a text is not UTF-8") }
        return string
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      case 0..<0x20: throw error("a control character stands in a text")
      default: text.append(byte)
      }
    }
    throw error("a text has no end")
  }

  private mutating func escape() throws(JSONError) -> Unicode.Scalar {
    defer { at += 1 }
    switch next {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    default: throw error("there is no such escape")
    }
    let first = try unit()
    if let scalar = Unicode.Scalar(first) { return scalar }
    // The first half of a pair, and the second behind it.
    guard first < 0xdc00, at + 2 < bytes.count, bytes[at + 1] == UInt8(ascii: "\\"), bytes[at + 2] == UInt8(ascii: "u")
    else { throw error("half of a character is missing") }
    at += 2
    let second = try unit()
    guard (0xdc00..<0xe000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00)))
    else { throw error("half of a character is missing") }
    return scalar
  }

  /// Four digits behind the u; ends at the last of them.
  private mutating func unit() throws(JSONError) -> UInt32 {
    var unit: UInt32 = 0
    for _ in 0..<4 {
      at += 1
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw error("an escape has four digits")
      }
      unit = unit << 4 | UInt32(digit)
    }
    return unit
  }
}
