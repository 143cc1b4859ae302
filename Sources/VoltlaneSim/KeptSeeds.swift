#if TESTABLE
/// A world in which something failed, kept so that it does not fail again.
///
/// A seed means one world only as long as the simulation draws random numbers in the same order: a change to the
/// simulation may turn a kept world into any other. What it found is then covered by chance, or by a mutation of
/// `tools/mutations`.
struct KeptSeed {
  let seed: UInt64
  /// Enough turns to reach the failure.
  let ticks: Int
  /// It is run with and without a trace.
  var isTraced = false

  static let all = [
    // A send that was queued before the relay read the client's FIN: the checker took it for one after it. With a
    // trace, the checker counted the trace's memory as the relay's.
    KeptSeed(seed: 145, ticks: 8700, isTraced: true),
    // The allocator had no memory for the rest of a packet that a socket took in part: the client got a FIN within it.
    KeptSeed(seed: 1157, ticks: 2500),
    KeptSeed(seed: 1169, ticks: 800),
    // A client that had yet to name its session, or had no challenge yet, was closed with a FIN: with the backend lost
    // in one shard before another, and without memory for a key.
    KeptSeed(seed: 1099, ticks: 12_800),
    KeptSeed(seed: 1231, ticks: 1600),
    // The network was still carrying what was under way when everything had to have arrived.
    KeptSeed(seed: 1308, ticks: 3000),
    // A session that was resumed on another connection and ended in the same turn.
    KeptSeed(seed: 2058, ticks: 2800),
    // Everything ended while a client was in the handshake: the checker missed what it had sent too early.
    KeptSeed(seed: 10_864, ticks: 800),
    // The relay's kernel had given up a connection, and its client could not know.
    KeptSeed(seed: 1_001_605, ticks: 800),
    // Sessions became stale and ended in the same turn.
    KeptSeed(seed: 1_003_078, ticks: 800),
    // A session lost its connection in the turn in which it began, before its client was sent an id.
    KeptSeed(seed: 1_004_826, ticks: 800),
    // A session ended, and its 0x01 waited for the backend while its connection, which was closing, was read on.
    KeptSeed(seed: 5025, ticks: 17_300),
    // The relay announced nothing, and the checker took the first 0x03 of a connection for an announcement.
    KeptSeed(seed: 378_252_517_275, ticks: 800),
  ]
}
#endif
