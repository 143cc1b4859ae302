import Glibc
import Testing

@testable import Load

struct UserShareSamplerTests {
  private static var isAllowed: Bool { UserShareSampler(getpid()) != nil }

  @Test(.enabled(if: isAllowed, "sampling is not allowed here"))
  func `a thread that calls nothing is seen in user space`() {
    guard let sampler = UserShareSampler(getpid()) else {
      Issue.record("no sampler")
      return
    }
    let before = sampler.share
    #expect(before == nil)
    sampler.start()
    var sum: UInt64 = 0
    for value in 0..<20_000_000 as Range<UInt64> { sum = sum &* 31 &+ value }
    // Other threads of this process run as well.
    let share = sampler.share ?? 0
    #expect(share > 0.02, "\(sum)")
  }
}
