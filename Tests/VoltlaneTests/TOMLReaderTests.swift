import Testing

@testable import Voltlane

@Suite struct TOMLReaderTests {
  /// Each key with its value, as Swift would write it.
  private func read(_ text: String) throws -> [String: TOMLValue] {
    try TOMLReader.read(text).reduce(into: [:]) { $0[$1.key.joined(separator: "/")] = $1.value }
  }

  @Test func keysAndTables() throws {
    let text = """
      \u{feff}a = 1 # a comment
      "b c" = 2
      'd"' . e = 3

      [t]
      a = 4
        [ t . 'u' ]
      a-_9 = 5\r
      inline = { x = 6, y.z = 7 }
      empty = {}
      """
    #expect(
      try read(text) == [
        "a": .integer(1), "b c": .integer(2), "d\"/e": .integer(3), "t/a": .integer(4), "t/u/a-_9": .integer(5),
        "t/u/inline/x": .integer(6), "t/u/inline/y/z": .integer(7),
      ])
  }

  @Test(
    arguments: [
      ("true", .boolean(true)), ("false", .boolean(false)), ("0", .integer(0)), ("+1_000", .integer(1000)),
      ("-17", .integer(-17)), ("0xff", .integer(255)), ("0o17", .integer(15)), ("0b101", .integer(5)),
      ("\"\"", .string("")), (#""a\tb\n\"\\é\U0001F600""#, .string("a\tb\n\"\\é😀")), ("'a\\n'", .string("a\\n")),
      ("\"\"\"\nline\n  two\"\"\"", .string("line\n  two")), ("\"\"\"a \\\n   b\"\"\"", .string("a b")),
      ("\"\"\"say \"hi\"\"\"\"", .string("say \"hi\"")), ("'''\na\\n'''", .string("a\\n")),
      ("''''quote'''", .string("'quote")),
    ] as [(String, TOMLValue)])
  func value(text: String, value: TOMLValue) throws {
    #expect(try read("key = \(text)\nnext = 1") == ["key": value, "next": .integer(1)])
  }

  @Test func listsKnowWhereTheirItemsStand() throws {
    let entry = try #require(TOMLReader.read("  key = [ 'a', # first\n\t2,\n]").first)
    #expect(entry.keyPosition == TextPosition(line: 1, column: 3))
    #expect(entry.valuePosition == TextPosition(line: 1, column: 9))
    #expect(
      entry.value
        == .list([
          .init(value: .string("a"), position: TextPosition(line: 1, column: 11)),
          .init(value: .integer(2), position: TextPosition(line: 2, column: 2)),
        ]))
    #expect(try read("key = []") == ["key": .list([])])
  }

  /// Columns count characters, not bytes.
  @Test(arguments: [
    ("a", 1, 2, "a '=' is missing after a"), ("a =", 1, 4, "a value is missing"), ("= 1", 1, 1, "a key is missing"),
    ("a = 5m", 1, 5, "'5m' is not a quoted string"), ("a = 1.5", 1, 5, "'1.5' is not a quoted string"),
    ("a = 007", 1, 5, "'007' is not a quoted string"), ("a = 1__0", 1, 5, "'1__0' is not a quoted string"),
    ("a = 2026-01-01", 1, 5, "'2026-01-01' is not a quoted string"),
    ("a = 99999999999999999999", 1, 5, "is not a quoted string"),
    ("a = 1 b = 2", 1, 7, "something after the value"), ("a = 'é' x", 1, 9, "something after the value"),
    ("a = \"x\nb = 1", 1, 5, "the string does not end on its line"), ("a = 'x", 1, 5, "does not end on its line"),
    ("a = \"\"\"x\n", 1, 5, "the string does not end"), ("a = '''x\n", 1, 5, "the string does not end"),
    ("a = \"\\q\"", 1, 6, "is not an escape sequence"), ("a = \"\\u12\"", 1, 6, "4 hexadecimal digits"),
    ("a = \"\\uD800\"", 1, 6, "this is not a character"), ("a = \"\u{1}\"", 1, 7, "a control character"),
    ("\n\na = [1\n2]", 4, 1, "a ',' or a ']' is missing"), ("a = [[1]]", 1, 6, "lists or tables"),
    ("a = [", 1, 6, "a value is missing"), ("a = { b = 1", 1, 12, "a ',' or a '}' is missing"),
    ("[[t]]", 1, 1, "no setting takes a list of tables"), ("[t", 1, 3, "a ']' is missing"),
    ("[t]\n[t]", 2, 1, "the table [t] is defined twice"),
    ("a = 1\nb = 2\na = 3", 3, 1, "a was already given in line 1"),
  ])
  func mistake(text: String, line: Int, column: Int, reason: String) throws {
    let error = try #require(throws: TOMLError.self) { try TOMLReader.read(text) }
    #expect(error.position == TextPosition(line: line, column: column), "\(error)")
    #expect(error.reason.contains(reason), "\(error)")
  }

  /// A long name in front of many keys would be kept with each of them.
  @Test(
    arguments: [
      ("[\(String(repeating: "a.", count: 250_000))a]", "no setting is nested that deeply"),
      ("[\(String(repeating: "a", count: 500_000))]", "no setting has a name that long"),
      ("[x.'\(String(repeating: "a", count: 500_000))']", "no setting has a name that long"),
    ]) func tablesOfLongNames(header: String, reason: String) throws
  {
    let text = header + (0..<100_000).map { "\nk\($0)=1" }.joined()
    #expect(try #require(throws: TOMLError.self) { try TOMLReader.read(text) }.reason == reason)
  }

  /// A file of nothing but open braces is refused, however long; it may not end the relay that reads it anew.
  @Test func tablesWithoutEnd() throws {
    let text = String(repeating: "a={", count: 300_000)
    let error = try #require(throws: TOMLError.self) { try TOMLReader.read(text) }
    #expect(error.reason == "no setting is nested that deeply")
    #expect(error.position.line == 1)
  }

  @Test func manyKeysAndItems() throws {
    let keys = (0..<20_000).map { "key\($0) = 1" }.joined(separator: "\n")
    let items = (0..<20_000).map { "  '\($0)'" }.joined(separator: ",\n")
    let entries = try TOMLReader.read("\(keys)\nlist = [\n\(items)\n]")
    #expect(entries.count == 20_001)
    #expect(entries[19_999].keyPosition == TextPosition(line: 20_000, column: 1))
    guard case .list(let list)? = entries.last?.value else { return #expect(Bool(false), "no list") }
    #expect(list.last?.position == TextPosition(line: 40_001, column: 3))
  }
}
