import CRefusal
import Glibc
import Testing

@testable import Relay

/// What is said where the kernel gives no ring, or none that works.
@Suite struct RingRefusalTests {
  private static let modern = "6.18.4-cloud"

  private func refusal(
    _ call: RingRefusal.Call, _ error: Int32, kernel: String = modern, isDisabled: Int? = 0, memoryLimit: Int = 1 << 30
  ) -> RingRefusal {
    RingRefusal(
      call, errno: error, kernel: kernel, isDisabled: isDisabled, memory: 1_100_000, memoryLimit: memoryLimit)
  }

  /// Each of the calls is tried at the start: one that is refused is found before anybody is served.
  @Test(arguments: [refusal_ring_setup, refusal_ring_register, refusal_ring_enter], [EPERM, ENOSYS, EACCES])
  func `a call that is refused is found, and said`(call: Int, error: Int32) throws {
    let refusal = onThreadOfItsOwn { () -> RingRefusal? in
      guard refusal_begin(Int32(call), -1, 0, error) == 0 else { return nil }
      return KernelFinding.ringRefusal(RelayConfiguration(listeners: [], backend: .unix(path: "/nowhere")))
    }
    let names = [
      refusal_ring_setup: "io_uring_setup", refusal_ring_register: "io_uring_register",
      refusal_ring_enter: "io_uring_enter",
    ]
    let name = try #require(names[call])
    let found = try #require(refusal)
    #expect(found.reason.contains("\(name): \(String(cString: strerror(error)))"), "\(found)")
    #expect(found.reason.contains("filter") && found.advice.contains("seccomp"), "\(found)")
    #expect(!found.reason.contains("too old"), "\(found)")
  }

  @Test func `a kernel that works is refused by nobody`() {
    #expect(KernelFinding.ringRefusal(RelayConfiguration(listeners: [], backend: .unix(path: "/nowhere"))) == nil)
  }

  @Test func `only an old kernel is too old`() {
    for (kernel, isOld) in [("5.15.0-91-generic", true), ("6.0.19", true), ("6.1.0", false), (Self.modern, false)] {
      let refusal = refusal(.setup, EINVAL, kernel: kernel)
      #expect(refusal.reason.contains("too old") == isOld, "\(refusal)")
      #expect((refusal.advice == "run Linux 6.1 or later") == isOld, "\(refusal)")
    }
    #expect(!refusal(.setup, EINVAL, kernel: "nobody knows").reason.contains("too old"))
  }

  /// Old kernels have the calls, too. gVisor says 4.4.0.
  @Test(arguments: [("4.4.0", true), ("5.15.0-91-generic", true), ("6.1.0", false)])
  func `calls that are missing are hidden, whatever the kernel says that it is`(kernel: String, isOld: Bool) {
    let refusal = refusal(.setup, ENOSYS, kernel: kernel)
    #expect(refusal.reason.contains("filter") && !refusal.reason.contains("too old"), "\(refusal)")
    #expect(refusal.advice.contains("seccomp"), "\(refusal)")
    #expect(refusal.advice.hasSuffix("; it takes Linux 6.1 or later, too") == isOld, "\(refusal)")
  }

  @Test func `open files that are missing are said`() {
    let own = refusal(.setup, EMFILE)
    #expect(own.reason.contains("too many open files"), "\(own)")
    #expect(own.advice.contains("LimitNOFILE=") && own.advice.contains("ulimit -n"), "\(own)")
    #expect(refusal(.setup, ENFILE).advice.contains("fs.file-max"))
  }

  @Test func `the sysctl that forbids io_uring is told from a filter`() {
    #expect(refusal(.setup, EPERM, isDisabled: 2).advice == "sysctl -w kernel.io_uring_disabled=0")
    #expect(refusal(.setup, EPERM, isDisabled: 1).advice.contains("kernel.io_uring_group"))
    for isDisabled in [0, nil] {
      #expect(refusal(.setup, EPERM, isDisabled: isDisabled).advice.contains("seccomp"))
    }
    // It forbids to make rings, not to use them.
    #expect(refusal(.enter, EPERM, isDisabled: 2).advice.contains("seccomp"))
  }

  @Test func `locked memory that is missing is said, with what is needed`() {
    let short = refusal(.setup, ENOMEM, memoryLimit: 65_536)
    #expect(short.reason.contains("all of them take 1075K") && short.reason.contains("may have 64K"), "\(short)")
    #expect(short.advice.hasPrefix("LimitMEMLOCK=1075K or more in systemd"), "\(short)")
    // The limit is high enough, and others of the same user have used it up; or there is no memory at all.
    let used = refusal(.setup, ENOMEM)
    #expect(!used.reason.contains("locked") && used.advice.contains("1075K"), "\(used)")
  }

  /// What is asked for is what the kernel takes: the ring's own measures, rounded up to pages.
  @Test func `a ring takes as much as is said`() {
    #expect(Limits.ringMemory == 544_768)
    var configuration = RelayConfiguration(listeners: [], backend: .unix(path: "/nowhere"))
    configuration.shards = 3
    configuration.threads = .fixed(3)
    configuration.firehoseCore = .own
    configuration.handshakeWorkers = 2
    #expect(configuration.ringMemory == 6 * 544_768 + 8192)
  }
}
