/// What the control thread asks of one shard. It goes over a lane of the shard's own, and the shard answers between two
/// turns, a slice at a time: it never stops for it, and allocates nothing.
///
///     control thread  == ShardRequest ==>  shard
///                     <== ShardReply ====
struct ShardRequest: BitwiseCopyable, Sendable {
  /// Tells the answers to one request from those to another.
  let number: UInt64
  let question: ShardQuestion
  /// Where the slice begins, as the last ``ShardReply/slice(number:next:ended:)`` said; 0 at first.
  var cursor: UInt64 = 0
}

/// What a shard can be asked.
public enum ShardQuestion: BitwiseCopyable, Sendable {
  /// Which sessions it has.
  case clients(ClientFilter)
  /// To end a session, for this reason, if it still lives. It is ended as if the backend had kicked it: what was queued
  /// for the client is sent first. If it ends because the relay drains, what the client had sent is read before.
  case end(id: UInt64, CloseReason)
  /// The same because the relay drains, if it still accepts nobody when the shard hears of it: a drain may have been
  /// taken back meanwhile.
  case letGo(id: UInt64)
  /// The same as ``end(id:_:)`` for all sessions that match.
  case endAll(ClientFilter, CloseReason)
  /// Which sessions ended last, newest first.
  case ended
  /// Which connections were refused last, newest first.
  case refused

  /// Whether it asks for something to be done, and not just to be told.
  var endsSessions: Bool {
    switch self {
    case .end, .letGo, .endAll: true
    case .clients, .ended, .refused: false
    }
  }
}

/// What a shard answers.
enum ShardReply: BitwiseCopyable, Sendable {
  case row(number: UInt64, ShardRow)
  /// All rows of the slice have been sent, and the shard has ended so many sessions. The next slice begins at `next`;
  /// nil if this was the last.
  case slice(number: UInt64, next: UInt64?, ended: UInt32)
}

/// A line of an answer.
public enum ShardRow: BitwiseCopyable, Sendable {
  case client(ClientRow)
  case ended(EndedRow)
}

/// Which sessions are meant. Everything that is given has to match.
public struct ClientFilter: BitwiseCopyable, Sendable {
  public var addresses: AddressRange?
  public var state: ClientRow.State?
  public var id: UInt64?

  public init(addresses: AddressRange? = nil, state: ClientRow.State? = nil, id: UInt64? = nil) {
    self.addresses = addresses
    self.state = state
    self.id = id
  }
}

/// One session, at the moment at which its shard looked at it.
public struct ClientRow: BitwiseCopyable, Sendable {
  public enum State: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    case attached, halfClosed, stale
  }

  public let id: UInt64
  /// Where its client connected from last.
  public let address: AddressKey
  public let state: State
  /// Since the session began, and since something was last carried for its client, or the client went away, in
  /// nanoseconds, to within a tick.
  public let age: UInt64
  public let idle: UInt64
  public let packetsUp, bytesUp, packetsDown, bytesDown: UInt64
  /// What waits for the client: packets that its socket did not take, or that it missed.
  public let pendingBytes: Int
  /// All memory that is held for it, besides what every session takes: the kernel's included, as far as it is counted.
  public let memoryBytes: Int
}

/// A session that ended, or a connection that was refused.
public struct EndedRow: BitwiseCopyable, Sendable {
  public enum Cause: BitwiseCopyable, Sendable {
    case session(CloseReason)
    case refusal(RefusalReason)
  }

  public let cause: Cause
  /// 0 for a refused connection.
  public let id: UInt64
  public let address: AddressKey
  /// When it ended, on the machine's clock (``Relay/now``).
  public let time: UInt64
  /// How long the session had lived, in nanoseconds, to within a tick.
  public let age: UInt64
  public let bytesUp, bytesDown: UInt64
}
