/// What happens to attempts to come back other than the one that succeeds.
extension Shard where K: ~Copyable {
  /// Closes all attempts on a session except one.
  mutating func closeAttempts(
    on slot: UInt32, but kept: UInt32, sessionIsOver: Bool, _ kernel: inout K
  ) {
    var next = sessions[slot].attempts
    while next != .none {
      let index = next
      next = connections[index].attempt?.value.next ?? .none
      guard index != kept else { continue }
      if connections[index].phase == .sealing, !sessionIsOver {
        refuseUnchallenged(index, &kernel)
      } else {
        close(index, &kernel)
      }
    }
  }

  /// Frees what a connection remembers of its attempt.
  mutating func removeAttempt(_ index: UInt32) {
    guard let reference = connections[index].attempt else { return }
    let attempt = reference.value
    if attempt.previous == .none {
      sessions[attempt.slot].attempts = attempt.next
    } else {
      connections[attempt.previous].attempt?.value.next = attempt.next
    }
    if attempt.next != .none { connections[attempt.next].attempt?.value.previous = attempt.previous }
    reference.free()
    connections[index].attempt = nil
  }
}
