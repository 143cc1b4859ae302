/// Reads TOML 1.0 into a flat list of keys with their values, each with its position, so that an error about a value
/// names its line and column. (TOMLKit, the one library available, knows positions of syntax errors only.)
///
/// The whole syntax is understood; times, fractions and lists of tables are rejected, because no setting takes one.
struct TOMLReader {
  private let text: [Unicode.Scalar]
  private var index = 0
  /// The table whose header was read last.
  private var table: [String] = []
  private var tables: Set<[String]> = []
  private var entries: [TOMLEntry] = []
  /// The line in which each key was given.
  private var lines: [[String]: Int] = [:]
  /// Where each line begins.
  private let lineStarts: [Int]

  /// How deep tables may be nested: far more than any setting needs, and little enough for a thread's stack.
  private static let deepest = 32
  /// The most characters in one part of a key. Each key is kept together with those of its tables, and a message about
  /// it contains them all.
  private static let longestKey = 128

  static func read(_ text: String) throws(TOMLError) -> [TOMLEntry] {
    var reader = TOMLReader(text: Array(text.unicodeScalars))
    try reader.readAll()
    return reader.entries
  }

  private init(text: [Unicode.Scalar]) {
    self.text = text
    lineStarts = [0] + text.indices.filter { text[$0] == "\n" }.map { $0 + 1 }
  }

  private mutating func readAll() throws(TOMLError) {
    // The byte order mark that some editors write.
    _ = take("\u{feff}")
    while true {
      skipBlank()
      guard let next else { return }
      if next == "[" { try readHeader() } else { try readPair(in: table) }
      try endLine()
    }
  }

  // MARK: Tables and keys

  private mutating func readHeader() throws(TOMLError) {
    let start = index
    index += 1
    guard next != "[" else { throw error(at: start, "no setting takes a list of tables") }
    table = try readKey()
    guard take("]") else { throw error("a ']' is missing after the name of the table") }
    guard tables.insert(table).inserted else {
      throw error(at: start, "the table [\(Self.dotted(table))] is defined twice")
    }
  }

  private mutating func readPair(in table: [String]) throws(TOMLError) {
    let start = index
    let key = table + (try readKey())
    if let line = lines[key] { throw error(at: start, "\(Self.dotted(key)) was already given in line \(line)") }
    guard take("=") else { throw error("a '=' is missing after \(Self.dotted(key))") }
    skipSpace()
    if next == "{" { return try readInlineTable(key) }
    let valueStart = index
    let value = try readValue()
    let keyPosition = position(start)
    lines[key] = keyPosition.line
    entries.append(
      TOMLEntry(key: key, value: value, keyPosition: keyPosition, valuePosition: position(valueStart)))
  }

  private mutating func readInlineTable(_ key: [String]) throws(TOMLError) {
    guard key.count <= Self.deepest else { throw error("no setting is nested that deeply") }
    index += 1
    skipSpace()
    if take("}") { return }
    repeat {
      skipSpace()
      try readPair(in: key)
      skipSpace()
    } while take(",")
    guard take("}") else { throw error("a ',' or a '}' is missing") }
  }

  /// A key with its dots; white space around each part is skipped.
  private mutating func readKey() throws(TOMLError) -> [String] {
    var parts: [String] = []
    repeat {
      skipSpace()
      let start = index
      guard parts.count < Self.deepest else { throw error("no setting is nested that deeply") }
      parts.append(try readKeyPart())
      guard index - start <= Self.longestKey else { throw error(at: start, "no setting has a name that long") }
      skipSpace()
    } while take(".")
    return parts
  }

  private mutating func readKeyPart() throws(TOMLError) -> String {
    switch next {
    case "\"": return try readBasicString()
    case "'": return try readLiteralString()
    default:
      let start = index
      while let scalar = next, Self.isBareKey(scalar) { index += 1 }
      guard index > start else { throw error("a key is missing") }
      return string(start..<index)
    }
  }

  // MARK: Values

  private mutating func readValue() throws(TOMLError) -> TOMLValue {
    switch next {
    case "\"": .string(comes("\"\"\"") ? try readLongBasicString() : try readBasicString())
    case "'": .string(comes("'''") ? try readLongLiteralString() : try readLiteralString())
    case "[": try readList()
    default: try readWord()
    }
  }

  private mutating func readList() throws(TOMLError) -> TOMLValue {
    var items: [TOMLValue.Item] = []
    index += 1
    while true {
      skipBlank()
      if take("]") { return .list(items) }
      guard next != "[", next != "{" else { throw error("no setting takes a list of lists or tables") }
      let start = index
      items.append(TOMLValue.Item(value: try readValue(), position: position(start)))
      skipBlank()
      guard take(",") || next == "]" else { throw error("a ',' or a ']' is missing") }
    }
  }

  /// A value without quotes.
  private mutating func readWord() throws(TOMLError) -> TOMLValue {
    let start = index
    while let scalar = next, !Self.isSpace(scalar), !Self.isNewline(scalar), !",]}#".unicodeScalars.contains(scalar) {
      index += 1
    }
    let word = string(start..<index)
    switch word {
    case "": throw error("a value is missing")
    case "true": return .boolean(true)
    case "false": return .boolean(false)
    default:
      guard let number = Self.integer(word) else {
        throw error(at: start, "'\(word)' is not a quoted string, a whole number, true or false")
      }
      return .integer(number)
    }
  }

  private static func integer(_ word: String) -> Int? {
    let parts = word.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.allSatisfy({ !$0.isEmpty }) else { return nil }
    let digits = parts.joined()
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
      return Int(digits.dropFirst(2), radix: radix)
    }
    let magnitude = digits.drop { $0 == "+" || $0 == "-" }
    return magnitude.hasPrefix("0") && magnitude.count > 1 ? nil : Int(digits)
  }

  // MARK: Texts

  private mutating func readBasicString() throws(TOMLError) -> String {
    let start = index
    index += 1
    var result = ""
    while let scalar = next, !Self.isNewline(scalar) {
      if take("\"") { return result }
      result.unicodeScalars.append(try readScalar())
    }
    throw error(at: start, "the string does not end on its line: a '\"' is missing")
  }

  private mutating func readLiteralString() throws(TOMLError) -> String {
    let start = index
    index += 1
    while let scalar = next, !Self.isNewline(scalar) {
      index += 1
      if scalar == "'" { return string(start + 1..<index - 1) }
      try refuseControl(scalar)
    }
    throw error(at: start, "the string does not end on its line: a \"'\" is missing")
  }

  private mutating func readLongBasicString() throws(TOMLError) -> String {
    let start = index
    index += 3
    skipNewline()
    var result = ""
    while next != nil {
      if let quotes = takeEnd("\"") { return result + quotes }
      if next == "\\", let end = blankLineEnd(after: index + 1) {
        // A backslash at the end of a line removes all white space up to the next character.
        index = end
        while let scalar = next, Self.isSpace(scalar) || Self.isNewline(scalar) { index += 1 }
        continue
      }
      result.unicodeScalars.append(try readScalar())
    }
    throw error(at: start, "the string does not end: '\"\"\"' is missing")
  }

  private mutating func readLongLiteralString() throws(TOMLError) -> String {
    let start = index
    index += 3
    skipNewline()
    var result = ""
    while let scalar = next {
      if let quotes = takeEnd("'") { return result + quotes }
      try refuseControl(scalar)
      result.unicodeScalars.append(scalar)
      index += 1
    }
    throw error(at: start, "the string does not end: \"'''\" is missing")
  }

  /// Takes three quotes, which end a long string. One or two more before them belong to it, and are returned.
  private mutating func takeEnd(_ quote: Unicode.Scalar) -> String? {
    var count = 0
    while count < 5, index + count < text.count, text[index + count] == quote { count += 1 }
    guard count >= 3 else { return nil }
    index += count
    return String(repeating: String(quote), count: count - 3)
  }

  private mutating func readScalar() throws(TOMLError) -> Unicode.Scalar {
    let start = index
    let scalar = text[index]
    index += 1
    guard scalar == "\\" else {
      try refuseControl(scalar)
      return scalar
    }
    guard let escaped = next else { throw error("the string does not end") }
    index += 1
    switch escaped {
    case "b": return "\u{8}"
    case "t": return "\t"
    case "n": return "\n"
    case "f": return "\u{c}"
    case "r": return "\r"
    case "\"", "\\": return escaped
    case "u": return try readCode(digits: 4, from: start)
    case "U": return try readCode(digits: 8, from: start)
    default: throw error(at: start, "'\\\(escaped)' is not an escape sequence; a backslash is written '\\\\'")
    }
  }

  private mutating func readCode(digits: Int, from start: Int) throws(TOMLError) -> Unicode.Scalar {
    let end = min(index + digits, text.count)
    let code = string(index..<end)
    guard code.count == digits, let number = UInt32(code, radix: 16), let scalar = Unicode.Scalar(number) else {
      throw error(at: start, "this is not a character; it needs \(digits) hexadecimal digits")
    }
    index = end
    return scalar
  }

  private func refuseControl(_ scalar: Unicode.Scalar) throws(TOMLError) {
    let isControl = scalar.value < 0x20 || scalar.value == 0x7f
    guard !isControl || scalar == "\t" || Self.isNewline(scalar) else {
      throw error("the string contains a control character")
    }
  }

  // MARK: The text

  private var next: Unicode.Scalar? { index < text.count ? text[index] : nil }

  private func comes(_ other: String) -> Bool { text[index...].starts(with: other.unicodeScalars) }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    index += 1
    return true
  }

  private func string(_ range: Range<Int>) -> String {
    var result = ""
    result.unicodeScalars.append(contentsOf: text[range])
    return result
  }

  private mutating func skipSpace() {
    while let scalar = next, Self.isSpace(scalar) { index += 1 }
  }

  private mutating func skipNewline() {
    _ = take("\r")
    _ = take("\n")
  }

  /// White space, line ends and comments.
  private mutating func skipBlank() {
    while let scalar = next {
      if scalar == "#" {
        skipComment()
      } else if Self.isSpace(scalar) || Self.isNewline(scalar) {
        index += 1
      } else {
        return
      }
    }
  }

  private mutating func skipComment() {
    while let scalar = next, scalar != "\n" { index += 1 }
  }

  /// After a header or a value, a line contains nothing but a comment.
  private mutating func endLine() throws(TOMLError) {
    skipSpace()
    guard let next, !Self.isNewline(next), next != "#" else { return }
    throw error("there is something after the value on this line")
  }

  /// Where the line ends, if there is only white space from `start` on.
  private func blankLineEnd(after start: Int) -> Int? {
    var end = start
    while end < text.count, Self.isSpace(text[end]) { end += 1 }
    return end < text.count && Self.isNewline(text[end]) ? end : nil
  }

  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" }
  private static func isNewline(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\r" }

  private static func isBareKey(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "-" || scalar == "_")
  }

  private static func dotted(_ key: [String]) -> String { key.joined(separator: ".") }

  // MARK: Errors

  private func position(_ index: Int) -> TextPosition {
    // By bisection, because a list of networks may have a great many items.
    var (line, end) = (0, lineStarts.count)
    while end - line > 1 {
      let middle = (line + end) / 2
      if lineStarts[middle] <= index { line = middle } else { end = middle }
    }
    return TextPosition(line: line + 1, column: index - lineStarts[line] + 1)
  }

  private func error(at place: Int? = nil, _ reason: String) -> TOMLError {
    TOMLError(position: position(place ?? index), reason: reason)
  }
}
