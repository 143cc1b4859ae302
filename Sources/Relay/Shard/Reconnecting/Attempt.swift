import Glibc
import VoltlaneCrypto

/// What a connection that tries to come back as an earlier client has to remember. On the heap, for as long as the
/// attempt lasts: most connections never make one.
///
/// Invariant: the attempts on a session are a list, from the session's `attempts` on, and each names the session by its
/// slot and its id.
struct Attempt {
  /// The session that it is for; its slot's owner is made sure of by the id.
  let slot: UInt32
  let id: UInt64
  /// What the challenge's box holds, and the nonce under which it was sealed.
  let plain: SealedBox.Plain
  let nonce: SealedBox.Nonce
  /// Since when the client owes the answer to its challenge, or the ping.
  var challengedSince: UInt64 = 0
  /// Neighbours among the attempts on the same session.
  var next: UInt32 = .none
  var previous: UInt32 = .none
}

/// The owner's handle of an ``Attempt``. Invariant: exactly one connection has it, and frees it.
struct AttemptReference: BitwiseCopyable {
  private let pointer: UnsafeMutablePointer<Attempt>

  /// Nil if the system has no memory for it.
  init?(_ attempt: Attempt) {
    guard let memory = malloc(MemoryLayout<Attempt>.size) else { return nil }
    pointer = memory.bindMemory(to: Attempt.self, capacity: 1)
    pointer.initialize(to: attempt)
  }

  var value: Attempt {
    get { pointer.pointee }
    nonmutating set { pointer.pointee = newValue }
  }

  func free() { Glibc.free(pointer) }
}

#if DEBUG
extension Attempt {
  /// That it is on the session `id`, and follows `previous` in the list of the attempts on it.
  func checkInvariants(
    on slot: UInt32, _ id: UInt64, after previous: UInt32, now: UInt64
  ) throws(InvariantViolation) {
    try require(self.slot == slot && self.id == id, "makes an attempt on another session")
    try require(self.previous == previous, "makes an attempt that does not follow that of \(previous)")
    try require(challengedSince <= now, "was challenged at a time to come")
  }
}
#endif
