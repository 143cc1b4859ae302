import VoltlaneCrypto

/// The relay's secret key, kept in a file so that clients recognise the relay after a restart.
///
/// The file is text: one line with the key's 32 bytes, big-endian, as 64 hexadecimal digits. Lines that are empty or
/// begin with `#` are skipped, and so is white space around the digits:
///
///     # The secret key of a Voltlane relay. Anyone who has it can pose as that relay.
///     e331b6d69882b4cb4ea581d88e0b604039a3de5967688d3dcffdd2270c0fd109
///
/// The digits never leave locked memory, neither on the way in nor on the way out, and it is wiped afterwards.
struct Identity {
  let key: SecretKey
  /// Whether the file was missing and has been created.
  let isNew: Bool

  /// The longest file that is read, in bytes.
  static let longestFile = 4096

  private static let comment = "# The secret key of a Voltlane relay. Anyone who has it can pose as that relay.\n"

  /// Reads the key in `file`, or makes a key and the file if it is missing.
  init(file: String) throws(IdentityError) {
    var text = try Self.secret(file) { () throws(KeyError) in try SecretBytes(byteCount: Self.longestFile) }
    if let content = try SecretFile.read(file, into: &text) {
      self = try Identity(Self.key(in: text, content, file: file), isNew: false)
      return
    }
    let key = try Self.secret(file) { () throws(KeyError) in try SecretKey.generate() }
    let count = Self.write(key, into: &text)
    if try SecretFile.create(file, text, count: count) {
      self = Identity(key, isNew: true)
      return
    }
    // Another process has created it meanwhile; the key in the file is the one that counts.
    guard let content = try SecretFile.read(file, into: &text) else {
      throw IdentityError(file: file, reason: "it is a link to a file that is not there")
    }
    self = try Identity(Self.key(in: text, content, file: file), isNew: false)
  }

  /// Why the key in `file` cannot be used; nil if it can be used, or is missing and would be made.
  static func refusal(file: String) -> IdentityError? {
    do throws(IdentityError) {
      var text = try secret(file) { () throws(KeyError) in try SecretBytes(byteCount: longestFile) }
      guard let content = try SecretFile.read(file, into: &text) else { return SecretFile.creationRefusal(file) }
      _ = try key(in: text, content, file: file)
      return nil
    } catch {
      return error
    }
  }

  private init(_ key: SecretKey, isNew: Bool) {
    self.key = key
    self.isNew = isNew
  }

  // MARK: The text

  /// That a file contains no key is reported before that others can read it: making it private would not help.
  private static func key(
    in text: borrowing SecretBytes, _ content: SecretFile.Content, file: String
  ) throws(IdentityError) -> SecretKey {
    let key = try key(in: text, count: content.count, file: file)
    if let exposure = content.exposure { throw exposure }
    return key
  }

  /// The key in the first `count` bytes of a text.
  static func key(
    in text: borrowing SecretBytes, count: Int, file: String
  ) throws(IdentityError) -> SecretKey {
    try text.withSpan { text throws(IdentityError) in
      var key: SecretKey?
      var number = 0
      var start = 0
      while start < count {
        number += 1
        var end = start
        while end < count, text[end] != UInt8(ascii: "\n") { end += 1 }
        let line = trimmed(text, start..<end)
        start = end + 1
        if line.isEmpty || text[line.lowerBound] == UInt8(ascii: "#") { continue }
        guard key == nil else { throw IdentityError(file: file, line: number, reason: "this is a second key") }
        do throws(KeyError) {
          key = try SecretKey(hexadecimal: text.extracting(line))
        } catch {
          throw IdentityError(file: file, line: number, reason: error.description)
        }
      }
      guard let key else {
        throw IdentityError(
          file: file, line: max(number, 1), reason: "there is no key in it: a line of 64 hexadecimal digits")
      }
      return key
    }
  }

  private static func trimmed(_ text: Span<UInt8>, _ line: Range<Int>) -> Range<Int> {
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
    var (start, end) = (line.lowerBound, line.upperBound)
    while start < end, isSpace(text[start]) { start += 1 }
    while start < end, isSpace(text[end - 1]) { end -= 1 }
    return start..<end
  }

  /// Returns the length of the text.
  private static func write(_ key: SecretKey, into text: inout SecretBytes) -> Int {
    text.withMutableSpan { text in
      var count = 0
      for byte in comment.utf8 {
        text[count] = byte
        count += 1
      }
      key.writeHexadecimal(into: &text, at: count)
      count += SecretKey.hexadecimalCount
      text[count] = UInt8(ascii: "\n")
      return count + 1
    }
  }

  private static func secret<Value: ~Copyable>(
    _ file: String, _ make: () throws(KeyError) -> Value
  ) throws(IdentityError) -> Value {
    do throws(KeyError) {
      return try make()
    } catch {
      throw IdentityError(file: file, reason: error.description)
    }
  }
}

/// Why the file of the relay's key cannot be used.
struct IdentityError: Error, Equatable, CustomStringConvertible {
  var file: String
  /// Counted from 1.
  var line: Int?
  var reason: String

  var description: String {
    "the identity file \(file)\(line.map { ", line \($0)" } ?? ""): \(reason)"
  }
}
