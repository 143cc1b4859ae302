/// What is counted for clients, counted anew from what they hold. For tests: every count is kept where something
/// changes, and one that is forgotten somewhere would let a client hold memory for nothing.
extension Shard {
  /// Bytes of memory at the allocator, as the budgets have them.
  struct CountedMemory: Equatable {
    var waiting = 0
    var leaving = 0
    var missed = 0
    var unfinished = 0
    var stale = 0
  }

  /// Adds up what the shard's slots hold. Traps where a buffer's own counts are wrong.
  func countMemory(into counted: inout CountedMemory) {
    for index in 0..<connections.used where connections[index].pointee.phase.hasSocket {
      let connection = connections[index]
      connection.pointee.pending.checkInvariants()
      let held = connection.pointee.pending.memory + Int(connection.pointee.kernelMemory)
      if connection.pointee.phase == .closing { counted.leaving += held } else { counted.waiting += held }
      counted.unfinished += connection.pointee.unfinished.map { Int($0.capacity) } ?? 0
    }
    for slot in 0..<sessions.used where sessions[slot].pointee.state == .stale {
      sessions[slot].pointee.missed.checkInvariants()
      counted.missed += sessions[slot].pointee.missed.memory
      counted.stale += 1
    }
  }
}
