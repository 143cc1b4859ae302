import Glibc
import Testing

@testable import Load

struct SystemCallCounterTests {
  private static var isAllowed: Bool { SystemCallCounter(getpid()) != nil }

  @Test(.enabled(if: isAllowed, "counting system calls is not allowed here"))
  func `calls are counted from the start on`() {
    guard let counter = SystemCallCounter(getpid()) else {
      Issue.record("no counter")
      return
    }
    #expect(counter.count == 0)
    counter.start()
    for _ in 0..<500 { _ = fcntl(-1, F_GETFD) }
    // Other threads of this process call as well.
    #expect(counter.count >= 500)
  }
}
