import NIOCore
import NIOEmbedded
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

@testable import VoltlaneClient

/// A relay that hands its bytes to the client's channel handler directly.
struct TestChannel {
  let channel = NIOAsyncTestingChannel()
  let reads = ReadCounter()
  let opened: EventLoopFuture<Connection>
  let relayKey: PublicKey
  let queues: Queues
  var inbox: Inbox<ByteBuffer, ClientError> { queues.inbox }

  /// Of a new client, unless there is another handshake.
  init(
    receiveLimit: Int = 1 << 20, relayKey: PublicKey? = nil, handshake: Handshake? = nil
  ) async throws {
    self.relayKey = try relayKey ?? SecretKey.generate().publicKey
    let handshake = try handshake ?? Handshake(newWith: SecretKey.generate().publicKey, relayKey: nil)
    let promise = channel.eventLoop.makePromise(of: Connection.self)
    opened = promise.futureResult
    let queues = Queues(ClientOptions(receiveLimit: receiveLimit))
    self.queues = queues
    try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
    try await channel.testingEventLoop.executeInContext { [channel, reads] in
      try channel.pipeline.syncOperations.addHandler(reads)
      try channel.pipeline.syncOperations.addHandler(
        ConnectionHandler(
          channel: channel, handshake: handshake, queues: queues, options: ClientOptions(),
          timeout: .init(duration: .seconds(60), deadline: .distantFuture), opened: promise))
    }
  }

  var greeting: [UInt8] {
    relayKey.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes + FramedHandshakePacket.clientID(1).bytes
  }

  func send(_ bytes: [UInt8]) async throws {
    try await channel.writeInbound(ByteBuffer(bytes: bytes))
  }

  /// All that the client has said.
  func said() async throws -> [UInt8] {
    var said: [UInt8] = []
    while let more = try await channel.readOutbound(as: ByteBuffer.self) { said += Array(buffer: more) }
    return said
  }
}
