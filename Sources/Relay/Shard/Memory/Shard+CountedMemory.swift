/// What is counted for clients: bytes of memory at the allocator, as the budgets have them.
struct CountedMemory: Equatable {
  var waiting = 0
  var leaving = 0
  var missed = 0
  var unfinished = 0
  var stale = 0
}

/// The same counted anew from what clients hold. For tests: every count is kept where something changes, and one that
/// is forgotten somewhere would let a client hold memory for nothing.
extension Shard where K: ~Copyable {
  /// Adds up what the shard's slots hold. Traps where a buffer's own counts are wrong.
  func countMemory(into counted: inout CountedMemory) {
    for index in 0..<connections.used where connections[index].phase.hasSocket {
      connections[index].pending.checkInvariants()
      let held = connections[index].pending.memory + Int(connections[index].kernelMemory)
      if connections[index].phase == .closing { counted.leaving += held } else { counted.waiting += held }
      counted.unfinished += connections[index].unfinished.map { Int($0.capacity) } ?? 0
    }
    for slot in 0..<sessions.used where sessions[slot].state == .stale {
      sessions[slot].missed.checkInvariants()
      counted.missed += sessions[slot].missed.memory
      counted.stale += 1
    }
  }
}
