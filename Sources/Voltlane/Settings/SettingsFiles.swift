import Relay
import VoltlaneSettings

/// The files of one load of the settings: each is read once, however many settings name it and however often they are
/// asked. Not thread-safe.
final class SettingsFiles {
  typealias Read = (_ path: String, _ limit: Int) throws(FileError) -> [UInt8]

  private let read: Read
  /// What a running relay has of its files; nil at the start.
  private let before: [String: Int]?
  private var contents: [String: Result<[UInt8], FileError>] = [:]
  private var lists: [String: Result<[Network], FileError>] = [:]
  /// A number for the contents of each file that was read, which is another one for other contents.
  private(set) var fingerprints: [String: Int] = [:]

  /// A file of settings is a page or two, a list of networks may be long.
  private static let longestConfiguration = 1 << 20
  private static let longest = 16 << 20

  /// For the start.
  init(_ read: @escaping Read = FileReader(occasion: .start).bytes) {
    self.read = read
    before = nil
  }

  /// For a relay that runs with files of which these are the fingerprints.
  init(after before: [String: Int], _ read: @escaping Read = FileReader(occasion: .reload).bytes) {
    self.read = read
    self.before = before
  }

  /// The text of a TOML file.
  func configuration(_ path: String) throws(FileError) -> String {
    let bytes = try bytes(of: path)
    guard bytes.count <= Self.longestConfiguration else { throw .tooLong(path, Self.longestConfiguration) }
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    // The lines are looked at one by one only to say which it is.
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let wrong = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil }
    throw FileError(path, line: wrong.map { $0 + 1 }, "it is not UTF-8, as TOML is")
  }

  /// The networks of a list, one a line.
  func networks(_ path: String) throws(FileError) -> [Network] {
    if let known = lists[path] { return try known.get() }
    let result: Result<[Network], FileError>
    do throws(FileError) {
      result = .success(try NetworkEntry.networks(in: try bytes(of: path), of: path))
    } catch {
      result = .failure(error)
    }
    lists[path] = result
    return try result.get()
  }

  private func bytes(of path: String) throws(FileError) -> [UInt8] {
    if let known = contents[path] { return try known.get() }
    let result: Result<[UInt8], FileError>
    do throws(FileError) {
      let bytes = try read(path, Self.longest)
      try check(bytes, of: path)
      result = .success(bytes)
    } catch {
      result = .failure(error)
    }
    contents[path] = result
    return try result.get()
  }

  private func check(_ bytes: [UInt8], of path: String) throws(FileError) {
    if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
      throw FileError(path, "it is UTF-16; save it as UTF-8")
    }
    if let zero = bytes.firstIndex(of: 0) {
      let line = bytes[..<zero].count { $0 == UInt8(ascii: "\n") } + 1
      throw FileError(path, line: line, "it has a byte of 0, as a file that was not written to its end may have")
    }
    let fingerprint = Self.fingerprint(bytes)
    fingerprints[path] = fingerprint
    // What is in effect already may stay as it is.
    guard let before, before[path] != fingerprint else { return }
    // To empty a file is the first thing that most programs do in order to write it.
    guard bytes.contains(where: { !Self.isSpace($0) }) else {
      throw FileError(path, "it is empty; where that is meant, write a comment into it, such as '# nobody'")
    }
    guard let last = bytes.last, Self.isLineEnd(last) else {
      throw FileError(path, "its last line does not end, as where the rest of a file is missing: add a newline")
    }
  }

  private static func fingerprint(_ bytes: [UInt8]) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes)
    return hasher.finalize()
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (9...13).contains(byte) }
  private static func isLineEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") }
}
