import NIOCore

/// A line that no packet can hold.
struct LineTooLong: Error, CustomStringConvertible {
  /// Counted from 1.
  var line: Int
  var maximum: Int

  var description: String { "line \(line) of stdin is longer than a packet may be (\(maximum) bytes)" }
}

/// Cuts input into lines, without their newlines. It holds at most one unfinished line, and of a line that is too long
/// no more than one read beyond the limit.
struct LineCutter {
  let maximum: Int
  private var unread = ByteBuffer()
  /// Bytes at the front of `unread` that contain no newline: a long line is searched once, not with every read.
  private var searched = 0
  private var lineCount = 0

  init(maximum: Int) {
    self.maximum = maximum
  }

  mutating func append(_ input: ByteBuffer) {
    unread.discardReadBytes()
    unread.writeImmutableBuffer(input)
  }

  /// The next whole line; nil if its newline has not arrived yet.
  mutating func next() throws(LineTooLong) -> ByteBuffer? {
    let view = unread.readableBytesView
    guard let newline = view.dropFirst(searched).firstIndex(of: UInt8(ascii: "\n")) else {
      searched = unread.readableBytes
      try check(searched)
      return nil
    }
    let line = unread.readSlice(length: newline - view.startIndex)
    try check(line?.readableBytes ?? 0)
    unread.moveReaderIndex(forwardBy: 1)
    searched = 0
    lineCount += 1
    return line
  }

  /// What follows the last newline; nil if nothing does.
  mutating func rest() -> ByteBuffer? {
    unread.readableBytes > 0 ? unread.readSlice(length: unread.readableBytes) : nil
  }

  private func check(_ count: Int) throws(LineTooLong) {
    guard count <= maximum else { throw LineTooLong(line: lineCount + 1, maximum: maximum) }
  }
}
