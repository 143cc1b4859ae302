import VoltlaneText

/// Who is there: a table of a relay's clients, kept from a backend's events. No I/O; use it if you want it.
///
///     var table = ClientTable()
///     for await event in backend.events {
///       for change in table.take(event) { print(change) }
///     }
///
/// A client is in the table from its first event (its first packet, or with `--addresses on` its address) until its end
/// is known. When the firehose is lost, the clients in the table are in doubt until the relay has named those that are
/// alive; the others have left. A relay with `--announce off` names nobody, so everybody would leave: don't use a table
/// with one.
///
/// A relay with `--away on` says whether a client is away, and one with `--addresses on` where it connects from.
public struct ClientTable: Sendable {
  /// What is known about a client.
  public struct Client: Equatable, Sendable {
    /// Its id: see ``BackendEvent``.
    public let id: UInt64
    /// Whether it is connected, away or in doubt.
    public internal(set) var presence: Presence
    /// Since when this has been so.
    public internal(set) var since: ContinuousClock.Instant
    /// When it was first heard of.
    public let firstHeard: ContinuousClock.Instant
    /// Where it connects from; nil if that is unknown.
    public internal(set) var address: Endpoint?
  }

  /// Whether a client is connected, away or in doubt.
  public enum Presence: Equatable, Sendable {
    case connected
    /// Its connection was lost, and its session is kept for it.
    case away
    /// The firehose was lost, and the relay has not yet named the client on the new one.
    case doubtful
  }

  /// What an event changed.
  public enum Change: Equatable, Sendable {
    case joined(UInt64)
    /// Its connection is lost.
    case wentAway(UInt64)
    /// It has a new connection; packets to it may have been lost with the old one.
    case cameBack(UInt64)
    /// Its address has changed, or has become known.
    case moved(UInt64, Endpoint?)
    /// It is gone for good. The reason is the relay's; nil if the news of the end was lost with a firehose.
    case left(UInt64, reason: String?)
  }

  /// All clients in the table, by id.
  public private(set) var clients: [UInt64: Client] = [:]
  /// Between the beginning of a connection and the end of its announcement, what it names is not news.
  private var isAnnouncing = false

  /// An empty table, for a backend that has just begun to listen.
  public init() {}

  /// What is known about a client; nil if it is not in the table.
  public subscript(id: UInt64) -> Client? { clients[id] }

  /// Takes the next event, and says what it changed. The table must be given all events, in order.
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

  /// Something has come from the client. If it was away, only its reconnection says that it is back.
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
