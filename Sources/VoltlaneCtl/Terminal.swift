import CLinux
import Glibc
import VoltlaneText

/// The terminal of a view that fills it. Its unsafe code passes arrays to system calls, for the duration of a call.
struct Terminal {
  enum Key: Equatable {
    case up, down, pageUp, pageDown, escape
    case character(Character)
  }

  /// Takes it over until the process ends.
  init() throws(ControlFailure) {
    guard voltlane_is_terminal(STDIN_FILENO), voltlane_is_terminal(STDOUT_FILENO) else {
      throw .refused("top needs a terminal; 'clients' and 'status' with --json are for scripts")
    }
    let result = voltlane_terminal_begin()
    guard result == 0 else { throw .refused("the terminal: \(systemMessage(-result))") }
  }

  func end() { voltlane_terminal_end() }

  var size: (columns: Int, rows: Int) {
    var (columns, rows) = (CInt(0), CInt(0))
    unsafe voltlane_terminal_size(&columns, &rows)
    return (Int(columns), Int(rows))
  }

  /// Keys that come within that time, or the first of them; none if the window has changed. nil: there is no terminal
  /// any more.
  func keys(within milliseconds: Int32) -> [Key]? {
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = unsafe voltlane_read_within(STDIN_FILENO, &bytes, bytes.count, milliseconds)
    if count == -Int(ETIMEDOUT) || count == -Int(EINTR) || count == -Int(EAGAIN) { return [] }
    guard count > 0 else { return nil }
    return Self.keys(String(decoding: bytes[..<count], as: UTF8.self))
  }

  static func keys(_ text: String) -> [Key] {
    let sequences: [(String, Key)] = [
      ("\u{1b}[A", .up), ("\u{1b}[B", .down), ("\u{1b}OA", .up), ("\u{1b}OB", .down), ("\u{1b}[5~", .pageUp),
      ("\u{1b}[6~", .pageDown),
    ]
    var rest = text[...]
    var keys: [Key] = []
    while let first = rest.first {
      if let (sequence, key) = sequences.first(where: { rest.hasPrefix($0.0) }) {
        keys.append(key)
        rest = rest.dropFirst(sequence.count)
      } else {
        keys.append(first == "\u{1b}" ? .escape : .character(first))
        rest = rest.dropFirst()
      }
    }
    return keys
  }

  /// Shows these lines, each cut to the terminal's width, and nothing else.
  func show(_ lines: [Line]) {
    let (columns, rows) = size
    var text = "\u{1b}[H"
    for (index, line) in lines.prefix(rows).enumerated() {
      if index > 0 { text += "\r\n" }
      // A terminal that shows something else than it was sent is nobody's friend.
      let visible = String(line.text.unicodeScalars.map { $0.isUnseen ? " " : Character($0) })
      let cut = visible.count > columns ? String(visible.prefix(columns)) : visible
      switch line.style {
      case .plain: text += cut
      case .bold: text += "\u{1b}[1m\(cut)\u{1b}[0m"
      case .reverse: text += "\u{1b}[7m\(Shown.padded(cut, columns))\u{1b}[0m"
      case .dim: text += "\u{1b}[2m\(cut)\u{1b}[0m"
      }
      text += "\u{1b}[K"
    }
    text += "\u{1b}[J"
    let bytes = Array(text.utf8)
    _ = unsafe voltlane_write(STDOUT_FILENO, bytes, bytes.count)
  }

  /// Whether somebody can be asked something, and answer.
  static var isThere: Bool { voltlane_is_terminal(STDIN_FILENO) && voltlane_is_terminal(STDERR_FILENO) }

  struct Line {
    enum Style { case plain, bold, reverse, dim }

    let text: String
    var style = Style.plain

    init(_ text: String, _ style: Style = .plain) {
      self.text = text
      self.style = style
    }
  }
}
