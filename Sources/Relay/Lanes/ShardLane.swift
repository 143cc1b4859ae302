/// A socket on its way from the shard that accepted it to the one whose session it asks for.
struct HandedSocket: BitwiseCopyable {
  let socket: Int32
  /// The id that the client gave; nil where the connection was just accepted, and nothing was read or counted yet.
  let id: UInt64?
  /// What is left of its handshake's time.
  let timeLeft: UInt64
  let address: AddressKey
  var standing: Standing
  /// Where it comes from, as the backend is told.
  let origin: ClientOrigin
  /// What came behind the id.
  let early: PacketBuffer?
  /// What it did not take of the relay's key.
  let pending: PendingBytes
}

extension HandedSocket {
  /// One that was just accepted.
  init(new socket: Int32) {
    self.init(
      socket: socket, id: nil, timeLeft: 0, address: .none, standing: [], origin: .unknown, early: nil,
      pending: PendingBytes())
  }
}

/// A shard's ends of the lanes between it and another shard.
struct ShardPeer: ~Copyable {
  var outgoing: RecordProducer<HandedSocket>
  var incoming: RecordConsumer<HandedSocket>
  let bell: Bell
}
