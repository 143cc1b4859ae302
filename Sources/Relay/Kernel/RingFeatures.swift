import CLiburing
import Glibc

/// What this kernel's io_uring can do, found out once at start.
struct RingFeatures {
  let kernelRelease: String

  /// Throws where something is missing that the relay needs; the error names it and says what to do.
  init() throws(RelayError) {
    var name = utsname()
    uname(&name)
    kernelRelease = withUnsafeBytes(of: &name.release) {
      String(cString: $0.baseAddress!.assumingMemoryBound(to: CChar.self))
    }

    var ring = io_uring()
    var parameters = io_uring_params()
    // 6.1 is the first with the last of these flags; older ones answer EINVAL.
    parameters.flags = UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN)
    let result = io_uring_queue_init_params(4, &ring, &parameters)
    guard result == 0 else { throw .ring(errno: -result) }
    defer { io_uring_queue_exit(&ring) }
    guard let probe = io_uring_get_probe_ring(&ring) else { throw .ringFeature("the probe of its operations") }
    defer { io_uring_free_probe(probe) }
    let needed: [(io_uring_op, String)] = [
      (IORING_OP_ACCEPT, "accept"), (IORING_OP_POLL_ADD, "poll"), (IORING_OP_SEND, "send"),
      (IORING_OP_TIMEOUT, "timeout"), (IORING_OP_TIMEOUT_REMOVE, "timeout updates"),
      (IORING_OP_MSG_RING, "ring-to-ring messages"), (IORING_OP_ASYNC_CANCEL, "cancel"), (IORING_OP_CLOSE, "close"),
    ]
    for (operation, name) in needed where io_uring_opcode_supported(probe, Int32(operation.rawValue)) == 0 {
      throw .ringFeature(name)
    }
  }
}
