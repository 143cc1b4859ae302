import NIOCore
import VoltlaneNIO

/// The packets that a ``Client`` receives. Each goes to one of the tasks that iterate; a cancelled task sees the end.
///
/// A packet shares memory with its neighbours: to keep a small one for long, copy it, for example with `Array(buffer:
/// packet)`.
public struct Packets: AsyncSequence, Sendable {
  public typealias Element = ByteBuffer
  public typealias Failure = ClientError

  /// Keeps the connection open while there is an iterator.
  let client: Client
  let inbox: Inbox<ByteBuffer, ClientError>

  public struct Iterator: AsyncIteratorProtocol {
    let packets: Packets

    public nonisolated(nonsending) mutating func next() async throws(ClientError) -> ByteBuffer? {
      try await packets.inbox.next()
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> ByteBuffer? {
      try await packets.inbox.next()
    }
  }

  public func makeAsyncIterator() -> Iterator {
    Iterator(packets: self)
  }
}
