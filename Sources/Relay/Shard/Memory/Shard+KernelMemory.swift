/// What the kernel holds for clients, that is, what they sent and the relay has not read, and what it sent and they
/// have not taken. It is memory that a client makes the machine hold, and counts like the relay's own. It is looked at
/// a few sockets at a time, and only where there are so many that their buffers could matter.
extension Shard where K: ~Copyable {
  /// There are more clients than before.
  @inline(__always)
  mutating func beginSampling(_ kernel: borrowing K) {
    if memory.samplingDue == .max, memory.gauge.couldBeTight(perClient: settings.kernelMemoryPerClient) {
      memory.sample(at: kernel.now)
    }
  }

  @inline(never)
  mutating func sampleKernelMemory(_ kernel: inout K) {
    guard memory.gauge.couldBeTight(perClient: settings.kernelMemoryPerClient) else { return endSampling() }
    for index in memory.advanceSampling(used: connections.used) where connections[index].phase.hasSocket {
      let held = kernel.memory(of: connections[index].socket)
      memory.noteKernelMemory(index, UInt32(clamping: held - Limits.connectionMemoryInKernel), connections)
    }
    // A round takes the same time for any number of clients, and less when the budget is near.
    let round =
      readingClock.isStopped
      ? Limits.kernelMemoryRoundPaused
      : memory.gauge.isHalfTight ? Limits.kernelMemoryRoundNear : Limits.kernelMemoryRound
    let slices = UInt64(connections.used / Limits.kernelMemorySlice + 1)
    memory.sample(at: kernel.now &+ round / slices)
  }

  /// The shard does not read its clients from now on: their sockets fill fast.
  mutating func hastenSampling(_ kernel: borrowing K) {
    guard memory.samplingDue != .max else { return }
    memory.sample(at: min(memory.samplingDue, kernel.now &+ Limits.kernelMemoryRoundPaused))
  }

  /// It no longer matters: nothing is counted for the kernel.
  private mutating func endSampling() {
    memory.endSampling()
    for index in 0..<connections.used { memory.noteKernelMemory(index, 0, connections) }
  }
}
