/// A socket on its way from the shard that accepted it to the shard of the session that its client wants back.
struct HandedSocket: BitwiseCopyable {
  let socket: Int32
  /// The id that the client gave; nil if the connection has just been accepted, and nothing was read or counted yet.
  let id: UInt64?
  /// How much time is left for its handshake.
  let timeLeft: UInt64
  let address: AddressKey
  var standing: Standing
  /// Where it comes from, as the backend is told.
  let origin: ClientOrigin
  /// What arrived after the id.
  let early: PacketBuffer?
  /// The part of the relay's key that the socket has not taken.
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
  let bell: RoleBell
}
