/// The other shards, and the lanes on which sockets are handed over to and from them.
///
/// Invariant: a socket belongs to the shard that gave it until its lane has it, and from then on to the shard at the
/// other end, which adopts it or closes it. Nothing is ever on the lane from this shard to itself.
struct Peers: ~Copyable {
  /// By their number; this shard's own place is not used.
  private var peers: FixedArray<ShardPeer>
  private let shard: Int

  init(_ peers: consuming FixedArray<ShardPeer>, shard: Int) {
    self.peers = peers
    self.shard = shard
  }

  /// Shards, this one included.
  var count: Int { peers.count }

  /// Whether one more socket can be handed over to a shard now.
  mutating func hasRoom(_ shard: Int) -> Bool { peers[shard].outgoing.hasRoom() }

  /// Hands a socket over; there is room for it.
  mutating func handOver(_ socket: HandedSocket, to shard: Int) { peers[shard].outgoing.push(socket) }

  /// Whether another shard has handed over a socket.
  @inline(never)
  mutating func hasSockets() -> Bool {
    for peer in 0..<peers.count where peer != shard && peers[peer].incoming.available() > 0 { return true }
    return false
  }

  /// The next socket that a shard has handed over; nil where all have been taken.
  mutating func takeSocket(from peer: Int) -> HandedSocket? {
    guard peer != shard else { return nil }
    guard peers[peer].incoming.available() > 0 else {
      _ = peers[peer].incoming.release()
      return nil
    }
    return peers[peer].incoming.take()
  }

  /// Wakes another shard, which has something to look at.
  mutating func wake<K: Kernel & ~Copyable>(_ peer: Int, _ kernel: inout K) {
    if peer != shard { peers[peer].bell.wake(&kernel) }
  }

  mutating func wakeAll<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for peer in 0..<peers.count { wake(peer, &kernel) }
  }

  /// Shows the others what this turn has for them, and wakes those that sleep.
  @inline(never)
  mutating func publish<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for peer in 0..<peers.count where peer != shard {
      if peers[peer].outgoing.publish() { wake(peer, &kernel) }
    }
  }
}

#if DEBUG
extension Peers {
  mutating func checkInvariants() throws(InvariantViolation) {
    try require((0..<count).contains(shard), "shard \(shard) is not one of \(count)")
    let isEmpty = peers[shard].incoming.available() == 0 && peers[shard].outgoing.oldestHeld() == nil
    try require(isEmpty, "shard \(shard) has handed a socket over to itself")
  }
}
#endif
