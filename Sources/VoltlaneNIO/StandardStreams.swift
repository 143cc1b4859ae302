import Glibc
import NIOCore
import VoltlaneText

/// The process's own streams, for the small programs: byte for byte, and blocking.
///
/// The one file of these modules with unsafe calls. NIO reads a file until its buffer is full, which does not suit a
/// terminal; reading it as a channel would make it non-blocking for the shell too; and Foundation is several times the
/// size of these programs. Each pointer belongs to a buffer of the given length, and is valid for one call.
package enum StandardStreams {
  /// Waits for input and returns what there is, at most `count` bytes; none at the end.
  package static func read(upTo count: Int) throws(StandardStreamError) -> ByteBuffer {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = try retrying("read stdin") {
      unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(STDIN_FILENO, $0.baseAddress, $0.count) }
    }
    return ByteBuffer(bytes: bytes.prefix(got))
  }

  /// Writes all of `buffer` to the standard output.
  package static func write(_ buffer: ByteBuffer) throws(StandardStreamError) {
    try write(Array(buffer: buffer), to: STDOUT_FILENO)
  }

  /// Writes a line for the person who started the program. If nobody reads it, nothing more can be done.
  package static func tell(_ line: String) {
    try? write(Array("\(line)\n".utf8), to: STDERR_FILENO)
  }

  private static func write(_ bytes: [UInt8], to descriptor: CInt) throws(StandardStreamError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try retrying("write to \(descriptor == STDOUT_FILENO ? "stdout" : "stderr")") {
        unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      }
      rest = rest.dropFirst(count)
    }
  }

  private static func retrying(_ doing: String, _ call: () -> Int) throws(StandardStreamError) -> Int {
    while true {
      let count = call()
      if count >= 0 { return count }
      guard errno == EINTR else { throw StandardStreamError(doing: doing, errno: errno) }
    }
  }
}

/// One of the process's own streams has failed.
package struct StandardStreamError: Error, CustomStringConvertible {
  /// As in "cannot write to stdout".
  let doing: String
  let errno: CInt

  package var description: String { "cannot \(doing): \(systemMessage(errno))" }
}
