/// The firehose moves from one host to another: see ``Host`` for the order of things. Its polls begin anew, under a new
/// generation, so that what the old kernel still completes is for nobody.
extension Firehose where K: ~Copyable {
  /// Whether nothing but polls is under way at this host: a look-up would be answered there.
  func canLeave() -> Bool { state != .resolving }

  /// Ends the polls at the old host.
  mutating func leave(_ kernel: inout K) {
    guard socket >= 0 else { return }
    kernel.submit(.cancel(Token(.firehoseReadable, generation: generation), of: socket), Token(.none))
    if waitsForRoom {
      kernel.submit(.cancel(Token(.firehoseWritable, generation: generation), of: socket), Token(.none))
    }
  }

  /// Goes on at another host.
  mutating func arrive(at host: Int, _ kernel: inout K) {
    counters.add(.rolesMoved)
    events.post(.roleMoved(shard: nil, thread: host), &kernel)
    guard socket >= 0 else { return }
    generation = (generation &+ 1) & Token.generationMask
    if state != .dialing { kernel.submit(.pollReadable(socket), Token(.firehoseReadable, generation: generation)) }
    if waitsForRoom { kernel.submit(.pollWritable(socket), Token(.firehoseWritable, generation: generation)) }
  }
}
