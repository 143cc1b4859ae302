#if TESTABLE
/// A world in which something has failed, kept so that it never does again.
///
/// A seed stands for one world only as long as the simulation draws in the same order: a change to it may turn a kept
/// world into any other. What it found is then covered by chance, or by a mutation of `tools/mutations`.
struct KeptSeed {
  let seed: UInt64
  /// Enough to get to where it failed.
  let ticks: Int

  static let all = [
    // A send that was queued before the relay read the client's FIN: the checker took it for one after it.
    // With a trace, it counted the trace's memory as the relay's.
    KeptSeed(seed: 145, ticks: 8700)
  ]
}
#endif
