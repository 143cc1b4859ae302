#if TESTABLE
import Glibc

/// Another process of this program: if the relay traps in a world, only that process ends.
final class Child {
  private let process: pid_t
  let output: Int32
  private var rest: [UInt8] = []
  private(set) var isOver = false
  private(set) var exitCode: Int32 = 0

  /// nil if the system has no process left.
  init?(_ arguments: [String]) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { return nil }
    // Must not be inherited by other processes.
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    var strings: [UnsafeMutablePointer<CChar>?] = (["voltlane-sim"] + arguments).map { strdup($0) }
    strings.append(nil)
    var process: pid_t = 0
    let result = posix_spawn(&process, "/proc/self/exe", &actions, nil, strings, environ)
    for string in strings { free(string) }
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    guard result == 0 else {
      close(ends[0])
      return nil
    }
    self.process = process
    output = ends[0]
  }

  deinit { close(output) }

  /// Lines that have arrived; call it when there is something to read. None are left, and ``isOver`` is set, once the
  /// process has ended.
  func lines() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = Glibc.read(output, &buffer, buffer.count)
    if count > 0 {
      rest += buffer[0..<count]
    } else {
      var status: Int32 = 0
      waitpid(process, &status, 0)
      exitCode = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
      isOver = true
      if !rest.isEmpty { rest.append(10) }
    }
    var lines: [String] = []
    while let end = rest.firstIndex(of: 10) {
      lines.append(String(decoding: rest[..<end], as: UTF8.self))
      rest.removeFirst(end + 1)
    }
    return lines
  }

  /// Waits for it and returns all of its output.
  static func run(_ arguments: [String]) -> (exitCode: Int32, lines: [String]) {
    guard let child = Child(arguments) else { return (71, []) }
    var lines: [String] = []
    while !child.isOver { lines += child.lines() }
    return (child.exitCode, lines)
  }
}
#endif
