/// What a backend sent of its own: bytes, and the CPU time of its thread that went into them, in nanoseconds.
struct BackendUse: Sendable {
  var bytes: UInt64 = 0
  var time: Int64 = 0

  static func - (after: BackendUse, before: BackendUse) -> BackendUse {
    BackendUse(bytes: after.bytes - before.bytes, time: after.time - before.time)
  }
}
