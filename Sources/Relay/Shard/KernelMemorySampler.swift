/// When a shard asks the kernel again what it holds for clients, and whom it asks about first.
struct KernelMemorySampler {
  /// `.max` while it does not matter.
  var next: UInt64 = .max
  var cursor: UInt32 = 0
}

/// What the kernel holds for clients, that is, what they sent and the relay has not read, and what it sent and they
/// have not taken. It is memory that a client makes the machine hold, and counts like the relay's own. It is looked at
/// a few sockets at a time, and only where there are so many that their buffers could matter.
extension Shard where K: ~Copyable {
  /// There are more clients than before.
  @inline(__always)
  mutating func beginSampling(_ kernel: borrowing K) {
    if kernelMemory.next == .max, memory.couldBeTight(perClient: settings.kernelMemoryPerClient) {
      kernelMemory.next = kernel.now
    }
  }

  @inline(never)
  mutating func sampleKernelMemory(_ kernel: inout K) {
    guard memory.couldBeTight(perClient: settings.kernelMemoryPerClient) else { return endSampling() }
    let end = min(connections.used, kernelMemory.cursor &+ Limits.kernelMemorySlice)
    for index in kernelMemory.cursor..<max(end, kernelMemory.cursor) where connections[index].phase.hasSocket {
      let held = kernel.memory(of: connections[index].socket)
      noteKernelMemory(index, UInt32(clamping: held - Limits.connectionMemoryInKernel))
    }
    kernelMemory.cursor = end < connections.used ? end : 0
    // A round takes its time whatever the number of clients, and the nearer the budget the less of it.
    let isReading = pausedSince == .max
    let round =
      !isReading
      ? Limits.kernelMemoryRoundPaused
      : memory.isHalfTight ? Limits.kernelMemoryRoundNear : Limits.kernelMemoryRound
    let slices = UInt64(connections.used / Limits.kernelMemorySlice + 1)
    kernelMemory.next = kernel.now &+ round / slices
  }

  /// The shard does not read its clients from now on: their sockets fill fast.
  mutating func hastenSampling(_ kernel: borrowing K) {
    guard kernelMemory.next != .max else { return }
    kernelMemory.next = min(kernelMemory.next, kernel.now &+ Limits.kernelMemoryRoundPaused)
  }

  /// It does not matter any more: nothing is counted for the kernel.
  private mutating func endSampling() {
    kernelMemory = KernelMemorySampler()
    for index in 0..<connections.used where connections[index].kernelMemory > 0 { noteKernelMemory(index, 0) }
  }

  private mutating func noteKernelMemory(_ index: UInt32, _ byteCount: UInt32) {
    guard connections[index].kernelMemory != byteCount else { return }
    connections[index].kernelMemory = byteCount
    chargeWaiting(index)
  }
}
