import VoltlaneText

/// Who is there: a table of a relay's clients, kept from a backend's events. No I/O; use it if you want it.
///
///     var table = ClientTable()
///     for await event in backend.events {
///       for change in table.take(event) { print(change) }
///     }
///
/// A client is in it from its first event on (its first packet, or with `--addresses on` its address) until its end is
/// known. When the firehose is lost, those in the table are in doubt until the relay has named who is alive; those it
/// does not name have left. With a relay that has `--announce off`, which names nobody, that would be everybody: don't
/// use a table with one.
///
/// Whether a client is away is known of a relay with `--away on`, and where from with `--addresses on`.
public struct ClientTable: Sendable {
  /// What is known of a client.
  public struct Client: Equatable, Sendable {
    /// Its name: see ``BackendEvent``.
    public let id: UInt64
    /// How it is there.
    public internal(set) var presence: Presence
    /// Since when it is in this presence.
    public internal(set) var since: ContinuousClock.Instant
    /// When it was first heard of.
    public let firstHeard: ContinuousClock.Instant
    /// Where it connects from; nil where that is not known.
    public internal(set) var address: Endpoint?
  }

  /// How a client is there.
  public enum Presence: Equatable, Sendable {
    case connected
    /// Its connection is lost, and its session waits for it.
    case away
    /// The firehose was lost, and the relay has not named it on the new one so far.
    case doubtful
  }

  /// What an event changed.
  public enum Change: Equatable, Sendable {
    case joined(UInt64)
    /// Its connection is lost.
    case wentAway(UInt64)
    /// It has a new connection; packets to it may have been lost with the old one.
    case cameBack(UInt64)
    /// Its address is another one than before, or known now.
    case moved(UInt64, Endpoint?)
    /// For good. The reason is the relay's; nil where the end itself was lost with a firehose.
    case left(UInt64, reason: String?)
  }

  /// Everybody who is there, by id.
  public private(set) var clients: [UInt64: Client] = [:]
  /// Between the begin of a connection and the end of its announcement, what it names is no news.
  private var isAnnouncing = false

  /// An empty table, for a backend that has just begun to listen.
  public init() {}

  /// What is known of a client; nil where it is not there.
  public subscript(id: UInt64) -> Client? { clients[id] }

  /// Takes the next event, and says what it changed. All events must be taken, in their order.
  public mutating func take(_ event: BackendEvent, at now: ContinuousClock.Instant = .now) -> [Change] {
    switch event {
    case .data(let id, _): return show(id, now)
    case .reconnection(let id): return comeBack(id, now)
    case .away(let id):
      let joined = show(id, now)
      guard clients[id]?.presence != .away else { return joined }
      set(id, .away, now)
      return joined + [.wentAway(id)]
    case .address(let id, let address):
      let joined = show(id, now)
      guard clients[id]?.address != address else { return joined }
      clients[id]?.address = address
      return joined + [.moved(id, address)]
    case .failure(let id, let reason):
      return clients.removeValue(forKey: id) == nil ? [] : [.left(id, reason: reason)]
    case .connected:
      isAnnouncing = true
      for id in clients.keys { set(id, .doubtful, now) }
      return []
    case .announced:
      isAnnouncing = false
      let gone = clients.values.filter { $0.presence == .doubtful }.map(\.id).sorted()
      for id in gone { clients[id] = nil }
      return gone.map { .left($0, reason: nil) }
    case .disconnected, .refusedPacket, .warning:
      return []
    }
  }

  /// Something of the client has come; where it was away that is told by its reconnection alone.
  private mutating func show(_ id: UInt64, _ now: ContinuousClock.Instant) -> [Change] {
    guard let client = clients[id] else {
      clients[id] = Client(id: id, presence: .connected, since: now, firstHeard: now)
      return [.joined(id)]
    }
    if client.presence == .doubtful { set(id, .connected, now) }
    return []
  }

  private mutating func comeBack(_ id: UInt64, _ now: ContinuousClock.Instant) -> [Change] {
    let before = clients[id]?.presence
    let joined = show(id, now)
    set(id, .connected, now)
    return switch before {
    case nil: joined
    // The firehose was lost, not the client.
    case .doubtful where isAnnouncing: []
    case .connected, .away, .doubtful: [.cameBack(id)]
    }
  }

  private mutating func set(_ id: UInt64, _ presence: Presence, _ now: ContinuousClock.Instant) {
    guard clients[id]?.presence != presence else { return }
    clients[id]?.presence = presence
    clients[id]?.since = now
  }
}
