import CLiburing
import Glibc

/// What this kernel's io_uring can do, established once at the start.
enum RingFeatures {
  /// Makes a small ring and uses it, with each of the calls that the relay will make: a filter may allow one and forbid
  /// another. `memory`: the bytes that all of the relay's rings will take. Throws if a call fails or the kernel lacks
  /// something; the error names it and says what to do.
  static func check(memory: Int) throws(RingRefusal) {
    var ring = io_uring()
    var parameters = io_uring_params()
    // 6.1 is the first with the last of these flags; older ones answer EINVAL.
    parameters.flags = UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN)
    let result = RingFeatures.setUp(4, &ring, &parameters)
    guard result == 0 else { throw RingRefusal(.setup, errno: -result, memory: memory) }
    defer { io_uring_queue_exit(&ring) }
    try RingFeatures.checkOperations(&ring, memory)
    try RingFeatures.checkEnter(&ring, memory)
  }

  /// Makes a ring. 0, or -errno. The kernel frees a ring's memory a moment after its end, for example that of a relay
  /// that has just died: a restart waits for that.
  static func setUp(
    _ entries: UInt32, _ ring: UnsafeMutablePointer<io_uring>, _ parameters: inout io_uring_params
  ) -> Int32 {
    let asked = parameters
    var result: Int32 = 0
    for _ in 0..<Limits.ringTries {
      parameters = asked
      result = io_uring_queue_init_params(entries, ring, &parameters)
      guard result == -ENOMEM else { break }
      usleep(Limits.ringRetryMicroseconds)
    }
    return result
  }

  /// Makes as many rings as the relay will have, all at the same time, and closes them: the kernel may have room for
  /// some and not for all. `memory`: the bytes that they take.
  static func tryRings(_ count: Int, memory: Int) throws(RingRefusal) {
    let rings = UnsafeMutablePointer<io_uring>.allocate(capacity: count)
    rings.initialize(repeating: io_uring(), count: count)
    var made = 0
    defer {
      for index in 0..<made { io_uring_queue_exit(rings + index) }
      rings.deallocate()
    }
    while made < count {
      var parameters = RingKernel.parameters
      let result = setUp(Limits.ringSubmissions, rings + made, &parameters)
      guard result == 0 else { throw RingRefusal(.setup, errno: -result, memory: memory) }
      made += 1
    }
  }

  private static let needed: [(io_uring_op, String)] = [
    (IORING_OP_ACCEPT, "accept"), (IORING_OP_POLL_ADD, "poll"), (IORING_OP_SEND, "send"),
    (IORING_OP_TIMEOUT, "timeout"), (IORING_OP_TIMEOUT_REMOVE, "timeout updates"),
    (IORING_OP_MSG_RING, "ring-to-ring messages"), (IORING_OP_ASYNC_CANCEL, "cancel"), (IORING_OP_CLOSE, "close"),
  ]

  private static func checkOperations(
    _ ring: UnsafeMutablePointer<io_uring>, _ memory: Int
  ) throws(RingRefusal) {
    // As many as an operation's number, which is a byte, can name.
    let count = 256
    let byteCount = MemoryLayout<io_uring_probe>.size + count * MemoryLayout<io_uring_probe_op>.stride
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
    defer { bytes.deallocate() }
    memset(bytes, 0, byteCount)
    let probe = bytes.bindMemory(to: io_uring_probe.self, capacity: 1)
    let result = io_uring_register_probe(ring, probe, UInt32(count))
    guard result >= 0 else { throw RingRefusal(.register, errno: -result, memory: memory) }
    for (operation, name) in needed where io_uring_opcode_supported(probe, Int32(operation.rawValue)) == 0 {
      throw RingRefusal(missing: name)
    }
  }

  /// Has the ring do nothing, once, and waits for that.
  private static func checkEnter(_ ring: UnsafeMutablePointer<io_uring>, _ memory: Int) throws(RingRefusal) {
    guard let entry = io_uring_get_sqe(ring) else { throw RingRefusal(missing: "room for an entry") }
    io_uring_prep_nop(entry)
    var completion: UnsafeMutablePointer<io_uring_cqe>?
    // For a second at most: a kernel that accepts the call and never answers must not block the start.
    var time = __kernel_timespec(tv_sec: 1, tv_nsec: 0)
    var result: Int32 = 0
    repeat {
      result = io_uring_submit_and_wait_timeout(ring, &completion, 1, &time, nil)
    } while result == -EINTR
    guard result >= 0, completion != nil else {
      throw RingRefusal(.enter, errno: result < 0 ? -result : ETIME, memory: memory)
    }
  }
}
