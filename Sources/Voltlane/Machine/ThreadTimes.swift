import Glibc

/// How long the threads of this process were on a CPU. Its unsafe code goes through a directory, whose entries the
/// system keeps until the next one is asked for, and reads a few bytes into a local array.
enum ThreadTimes {
  /// By the threads' names, in alphabetical order; threads of one name are added up. The kernel cuts names to 15 bytes.
  static func byName() -> [(name: String, seconds: Double)] {
    var sums: [String: Double] = [:]
    for thread in threads() {
      let folder = "/proc/self/task/\(thread)/"
      // A thread that has just ended has neither.
      guard let name = line(folder + "comm"), let seconds = time(folder) else { continue }
      sums[name, default: 0] += seconds
    }
    return sums.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private static func threads() -> [String] {
    guard let folder = unsafe opendir("/proc/self/task") else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
        unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name.first != "." { names.append(name) }
    }
    return names
  }

  /// The scheduler counts nanoseconds; a kernel without its statistics counts ticks of 10 ms.
  private static func time(_ folder: String) -> Double? {
    if let nanoseconds = line(folder + "schedstat")?.split(separator: " ").first.flatMap({ UInt64($0) }) {
      return Double(nanoseconds) / 1e9
    }
    // A name may have spaces and parentheses, what follows has none.
    guard let stat = line(folder + "stat"), let end = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[end...].split(separator: " ").dropFirst()
    guard fields.count > 13 else { return nil }
    let ticks = fields.dropFirst(11).prefix(2).compactMap { Double($0) }.reduce(0, +)
    return ticks / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
  }

  /// The first line of a file of the kernel's.
  private static func line(_ path: String) -> String? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = unsafe read(file, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}
