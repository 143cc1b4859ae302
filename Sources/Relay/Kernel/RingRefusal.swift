import CLinux
import Glibc
import VoltlaneText

/// Why the kernel gives the relay no ring, or none that works, and what to do about it.
public struct RingRefusal: Error, Equatable, Sendable {
  public enum Call: String, Sendable {
    case setup = "io_uring_setup"
    case register = "io_uring_register"
    case enter = "io_uring_enter"
  }

  /// What happened.
  public let reason: String
  public let advice: String

  public init(reason: String, advice: String) {
    self.reason = reason
    self.advice = advice
  }

  /// `call` failed with `error`. `memory`: the bytes that all of the relay's rings take.
  init(_ call: Call, errno error: Int32, memory: Int) {
    self.init(
      call, errno: error, kernel: RingRefusal.kernelRelease(), isDisabled: RingRefusal.disabled(), memory: memory,
      memoryLimit: Int(clamping: voltlane_locked_memory_limit()))
  }

  /// `kernel` is the kernel's release, `isDisabled` the sysctl kernel.io_uring_disabled, `memoryLimit` that of locked
  /// memory.
  init(_ call: Call, errno error: Int32, kernel: String, isDisabled: Int?, memory: Int, memoryLimit: Int) {
    let failure = "\(call.rawValue): \(systemMessage(error))"
    let isTooOld = RingRefusal.isTooOld(kernel)
    switch error {
    case EPERM, EACCES:
      if call == .setup, isDisabled == 1 || isDisabled == 2 {
        reason = "the sysctl kernel.io_uring_disabled forbids io_uring (\(failure))"
        let group = isDisabled == 1 ? ", or put the relay's group into kernel.io_uring_group" : ""
        advice = "sysctl -w kernel.io_uring_disabled=0\(group)"
      } else {
        reason = "a seccomp filter, such as a container has, or a security module forbids io_uring (\(failure))"
        advice = RingRefusal.profileAdvice
      }
    case ENOSYS:
      // Every kernel since Linux 5.1 has the calls, those that are too old for the relay too, and what says that it is
      // older than that may be a sandbox such as gVisor.
      reason = "io_uring is hidden by a container's seccomp filter, or this kernel was built without it (\(failure))"
      advice = RingRefusal.profileAdvice + (isTooOld ? "; it takes Linux 6.1 or later, too" : "")
    case EINVAL where isTooOld:
      reason = "the io_uring of Linux \(kernel) is too old (\(failure))"
      advice = "run Linux 6.1 or later"
    case EMFILE where call == .setup, ENFILE where call == .setup:
      reason = "there are too many open files for a ring (\(failure))"
      advice =
        error == EMFILE
        ? "raise the limit of open files: LimitNOFILE= in systemd, --ulimit nofile= in Docker, ulimit -n in a shell"
        : "raise the limit of all programs' open files, the sysctl fs.file-max"
    case ENOMEM where call == .setup && memory > memoryLimit:
      reason = """
        rings count as locked memory: all of them take \(RingRefusal.kibibytes(memory)), and the processes of this \
        user may have \(RingRefusal.kibibytes(memoryLimit)) together (\(failure))
        """
      advice = """
        LimitMEMLOCK=\(RingRefusal.kibibytes(memory)) or more in systemd, --ulimit memlock= in Docker, ulimit -l in a \
        shell, or fewer --shards and --handshake-workers
        """
    case ENOMEM where call == .setup:
      reason = "there is no memory for a ring (\(failure))"
      advice = """
        leave the relay more memory, and the processes of this user more locked memory than they have together, of \
        which its rings take \(RingRefusal.kibibytes(memory))
        """
    default:
      reason = "io_uring does not work on Linux \(kernel) (\(failure))"
      advice = "ask the owner of this machine or its sandbox for the io_uring of Linux 6.1 or later"
    }
  }

  /// The kernel lacks an operation that the relay needs.
  init(missing operation: String) {
    reason = "io_uring lacks \(operation) on Linux \(RingRefusal.kernelRelease())"
    advice = "run Linux 6.1 or later"
  }

  private static let profileAdvice = """
    permit io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile (docker: --security-opt \
    seccomp=unconfined, or a profile of your own)
    """

  /// As systemd writes it.
  private static func kibibytes(_ bytes: Int) -> String { "\((bytes + 1023) / 1024)K" }

  /// Whether the release is below 6.1; false if it cannot be read.
  private static func isTooOld(_ release: String) -> Bool {
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 && (numbers[0], numbers[1]) < (6, 1)
  }

  static func kernelRelease() -> String {
    var name = utsname()
    uname(&name)
    // It ends with a zero.
    return withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  private static func disabled() -> Int? {
    withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { bytes in
      let count = voltlane_read_file("/proc/sys/kernel/io_uring_disabled", bytes.baseAddress, bytes.count)
      guard count > 0 else { return nil }
      return Int(String(decoding: bytes.prefix(count), as: UTF8.self).prefix { $0.isNumber })
    }
  }
}

extension RingRefusal: CustomStringConvertible {
  public var description: String { "\(reason): \(advice)" }
}
