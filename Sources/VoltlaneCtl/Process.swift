import CLinux
import Glibc

/// What the process was started with. Its unsafe code copies C strings that do not change.
enum Environment {
  /// nil where it is not set, or empty.
  static subscript(name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }
}

enum StandardError {
  static func write(_ line: String) { ask("\(line)\n") }

  /// Without a newline: the answer follows.
  static func ask(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe voltlane_write(STDERR_FILENO, bytes, bytes.count)
  }
}
