import Relay
import VoltlaneSettings

/// The files of one load of the settings: each is read once, however many settings name it and however often they are
/// asked. Not thread-safe.
final class SettingsFiles {
  typealias Read = (_ path: String, _ limit: Int) throws(FileError) -> [UInt8]

  private let read: Read
  /// The fingerprints of the files that are in effect; nil at the start.
  private let before: [String: Int]?
  private var contents: [String: Result<[UInt8], FileError>] = [:]
  private var lists: [String: Result<[Network], FileError>] = [:]
  /// A number for each file that was read, which differs if the contents differ.
  private(set) var fingerprints: [String: Int] = [:]

  /// A settings file is a page or two; a list of networks may be long.
  private static let longestConfiguration = 1 << 20
  private static let longest = 16 << 20

  /// For the start.
  init(_ read: @escaping Read = FileReader(occasion: .start).bytes) {
    self.read = read
    before = nil
  }

  /// For a running relay, with the fingerprints of the files that are in effect.
  init(after before: [String: Int], _ read: @escaping Read = FileReader(occasion: .reload).bytes) {
    self.read = read
    self.before = before
  }

  /// The text of a TOML file.
  func configuration(_ path: String) throws(FileError) -> String {
    let bytes = try bytes(of: path)
    guard bytes.count <= Self.longestConfiguration else { throw .tooLong(path, Self.longestConfiguration) }
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    // The lines are checked one by one only to say which one is wrong.
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let wrong = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil }
    throw FileError(path, line: wrong.map { $0 + 1 }, "it is not UTF-8, as TOML is")
  }

  /// The networks of a list, one per line.
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
      throw FileError(path, line: line, "it has a zero byte, so it may not have been written completely")
    }
    let fingerprint = Self.fingerprint(bytes)
    fingerprints[path] = fingerprint
    // A file that is already in effect may stay as it is.
    guard let before, before[path] != fingerprint else { return }
    // Most programs empty a file before they write it.
    guard bytes.contains(where: { !Self.isSpace($0) }) else {
      throw FileError(path, "it is empty; if that is intended, put a comment into it, such as '# nobody'")
    }
    guard let last = bytes.last, Self.isLineEnd(last) else {
      throw FileError(path, "its last line does not end with a newline; if nothing is missing, add one")
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
