import CLinux
import Glibc
import VoltlaneText

/// Reads a file that a setting names, from one descriptor, without ever waiting for it indefinitely.
///
/// At the start it may also be a pipe, such as a shell makes for `<(...)`: it is read to its end. In a running relay it
/// has to be a regular file, because a pipe has nothing more to give. There the reader waits for a file that is being
/// written: it must stay unchanged for ``quiet``, and nobody may have it open for writing. A half-written file that
/// happens to end with a whole line cannot be recognised in any other way.
///
/// Its unsafe code passes buffers and paths to system calls, for the time of the call.
struct FileReader: Sendable {
  enum Occasion: Sendable {
    case start, reload
    /// Nobody has named the file: a regular one is read as at the start, and anything else is left alone.
    case glance
  }

  let occasion: Occasion
  /// How long a pipe may take to end, at the start.
  var pipeTime = Duration.seconds(30)
  /// How long a file must be unchanged, in a reload: longer than a program pauses between two writes to one file.
  var quiet = Duration.seconds(1)
  /// How long the reader waits for a file that is being written.
  var writingTime = Duration.seconds(5)

  private static let chunk = 64 << 10
  /// Between two looks at a file.
  private static let pause: Int32 = 20

  /// The contents of `path`. Refuses more than `limit` bytes.
  func bytes(of path: String, atMost limit: Int) throws(FileError) -> [UInt8] {
    if occasion == .reload, let own = Self.ownDescriptors.first(where: { path.hasPrefix($0) }) {
      throw FileError(path, "SIGHUP reads files again, and what is below \(own) could only be read at the start")
    }
    let deadline = ContinuousClock.now + writingTime
    while true {
      // Checked before it is opened, because opening alone lets the writer of a pipe continue, and makes some devices
      // act.
      try check(try InputFile.state(of: path), path, limit)
      let file = try InputFile(path)
      let state = try file.state()
      try check(state, path, limit)
      if state.kind != VOLTLANE_REGULAR {
        return try file.contents(atMost: limit, until: .now + pipeTime, Self.chunk)
      }
      let bytes = try file.contents(atMost: limit, until: .now + pipeTime, Self.chunk)
      guard let writing = try change(of: file, since: state, bytes.count, until: deadline) else { return bytes }
      guard ContinuousClock.now < deadline else { throw FileError(path, writing) }
      voltlane_sleep(Self.pause)
    }
  }

  /// Names of the process's descriptors: in a running relay the number may belong to something else by now.
  private static let ownDescriptors = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"]

  private func check(_ state: voltlane_file_state, _ path: String, _ limit: Int) throws(FileError) {
    switch state.kind {
    case VOLTLANE_REGULAR:
      guard state.size <= limit else { throw .tooLong(path, limit) }
    case VOLTLANE_EMPTY:
      // Intended if the file was named; otherwise what remains of a stream that was not given.
      guard !Self.ownDescriptors.contains(where: { path.hasPrefix($0) }) else {
        throw FileError(path, "it is /dev/null: nothing was given there")
      }
    case VOLTLANE_PIPE, VOLTLANE_SOCKET:
      guard occasion != .glance else { throw FileError(path, "it is a pipe, not a file") }
      guard occasion == .start else {
        throw FileError(path, "SIGHUP reads files again, and this is a pipe, which can be read only once")
      }
    case VOLTLANE_TERMINAL: throw FileError(path, "it is a terminal, not a file")
    case VOLTLANE_FOLDER: throw FileError(path, "it is a directory, not a file")
    default: throw FileError(path, "it is a device, not a file")
    }
  }

  /// Signs that somebody is writing the file; nil if it was read as it is and will stay. `count` is what was read.
  private func change(
    of file: borrowing InputFile, since before: voltlane_file_state, _ count: Int,
    until deadline: ContinuousClock.Instant
  ) throws(FileError) -> String? {
    let changing = "it is being written: it kept changing while it was read"
    let state = try file.state()
    // A file in /proc has no size of its own.
    guard state.isSame(as: before), state.size == count || state.size == 0 else { return changing }
    guard occasion == .reload else { return nil }
    var rest = quiet - state.age
    while rest > .zero {
      voltlane_sleep(Int32(clamping: min(rest, .milliseconds(200)).components.attoseconds / 1_000_000_000_000_000 + 1))
      rest -= .milliseconds(200)
      guard state.isSame(as: try file.namedState()), ContinuousClock.now < deadline else { return changing }
    }
    // The name may mean another file now.
    guard state.isSame(as: try file.namedState()) else { return changing }
    return file.isOpenForWriting ? "it is being written: a process has it open for writing" : nil
  }
}

/// Why a settings file cannot be used.
struct FileError: Error, Equatable, CustomStringConvertible {
  let path: String
  /// Counted from 1.
  let line: Int?
  let reason: String

  init(_ path: String, line: Int? = nil, _ reason: String) {
    self.path = path
    self.line = line
    self.reason = reason
  }

  static func tooLong(_ path: String, _ limit: Int) -> FileError {
    FileError(path, "it is longer than \(limit) bytes")
  }

  var description: String { "\(path)\(line.map { ":\($0)" } ?? ""): \(reason)" }
}

/// An open file, closed at its end.
private struct InputFile: ~Copyable {
  let path: String
  private let descriptor: Int32

  init(_ path: String) throws(FileError) {
    self.path = path
    descriptor = unsafe voltlane_open_file(path)
    guard descriptor >= 0 else { throw .unreadable(path, -descriptor) }
  }

  deinit { voltlane_close_file(descriptor) }

  func state() throws(FileError) -> voltlane_file_state {
    var state = voltlane_file_state()
    let result = unsafe voltlane_file_state(descriptor, &state)
    guard result == 0 else { throw .unreadable(path, -result) }
    return state
  }

  /// Of the file that has the name now.
  func namedState() throws(FileError) -> voltlane_file_state { try Self.state(of: path) }

  static func state(of path: String) throws(FileError) -> voltlane_file_state {
    var state = voltlane_file_state()
    let result = unsafe voltlane_named_file_state(path, &state)
    guard result == 0 else { throw .unreadable(path, -result) }
    return state
  }

  var isOpenForWriting: Bool { voltlane_is_open_for_writing(descriptor) != 0 }

  func contents(
    atMost limit: Int, until deadline: ContinuousClock.Instant, _ chunk: Int
  ) throws(FileError) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: chunk)
    while true {
      let (seconds, attoseconds) = max(.zero, ContinuousClock.now.duration(to: deadline)).components
      let milliseconds = Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000)
      let count = unsafe voltlane_read_within(descriptor, &piece, piece.count, milliseconds)
      if count == 0 { return bytes }
      if count > 0 {
        bytes += piece.prefix(count)
        guard bytes.count <= limit else { throw .tooLong(path, limit) }
      } else if count != -Int(ETIMEDOUT) {
        throw .unreadable(path, Int32(-count))
      } else if ContinuousClock.now >= deadline {
        throw FileError(
          path, bytes.isEmpty ? "nobody has written anything to it" : "its writer does not finish")
      }
    }
  }
}

extension FileError {
  fileprivate static func unreadable(_ path: String, _ errno: Int32) -> FileError {
    FileError(path, "it cannot be read: \(systemMessage(errno))")
  }
}

extension voltlane_file_state {
  fileprivate func isSame(as other: voltlane_file_state) -> Bool {
    device == other.device && inode == other.inode && size == other.size && changed == other.changed
  }

  /// How long ago it was changed. If the clock was set back this is unknown, and counts as just now.
  fileprivate var age: Duration { .nanoseconds(now < changed ? 0 : now - changed) }
}
