import Glibc
import NIOCore
import Testing
import VoltlaneNIO

/// What people read of NIO's errors names none of its calls.
@Suite struct DescribeErrorTests {
  @Test(arguments: [
    (ECONNRESET, "connection reset"), (EPIPE, "connection closed by the other side"),
    (ECONNABORTED, "Software caused connection abort"), (EMFILE, "too many files and connections are open"),
  ])
  func systemErrors(errno: CInt, text: String) {
    #expect(describe(IOError(errnoCode: errno, reason: "read(descriptor:pointer:size:)")) == text)
  }

  @Test(arguments: [ChannelError.ioOnClosedChannel, .alreadyClosed, .eof, .outputClosed])
  func channelErrors(error: ChannelError) {
    #expect(describe(error) == "the connection is closed")
  }
}
