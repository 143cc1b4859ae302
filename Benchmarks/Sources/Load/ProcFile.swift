import Glibc

/// Files of /proc, which have no size to go by.
enum ProcFile {
  /// The text of a file, or nil where it can't be read: the process may be gone, or not ours.
  static func text(_ path: String) -> String? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes: [UInt8] = []
    while true {
      let count = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
        let count = read(fd, buffer.baseAddress, buffer.count)
        if count > 0 { bytes.append(contentsOf: buffer[..<count]) }
        return count
      }
      guard count > 0 else { break }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The names in a directory.
  static func names(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  /// The number after `key` in a file of `key: value` lines.
  static func number(_ key: String, in text: String) -> UInt64? {
    for line in text.split(separator: "\n") where line.hasPrefix(key) {
      let digits = line.dropFirst(key.count).drop { !$0.isNumber }.prefix { $0.isNumber }
      return UInt64(digits)
    }
    return nil
  }

  /// Nanoseconds of one tick of the times in /proc/stat and /proc/PID/stat.
  static let tick = 1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK)))
}
