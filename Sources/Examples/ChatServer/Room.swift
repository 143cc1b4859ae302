import VoltlaneBackend

/// The participants of the chat, and what to do about an event. No I/O, so that it can be tested.
struct Room {
  enum Action: Equatable {
    case tell(UInt64, String)
    case kick(UInt64)
  }

  /// A longer line ends its client's session.
  private static let longestLine = 1000

  private var names: [UInt64: String] = [:]
  /// Clients that the relay has not named yet on its new connection.
  private var unannounced: Set<UInt64> = []

  mutating func handle(_ event: BackendEvent) -> [Action] {
    switch event {
    case .data(let id, let packet):
      return say(String(buffer: packet), from: id)
    case .failure(let id, _):
      return leave(id)
    case .connected:
      unannounced = Set(names.keys)
      return []
    case .reconnection(let id):
      unannounced.remove(id)
      return names[id] == nil ? join(id) : []
    case .announced:
      defer { unannounced = [] }
      return unannounced.sorted().flatMap { leave($0) }
    case .disconnected, .refusedPacket, .away, .address, .warning:
      return []
    }
  }

  /// `/name NAME` sets a name; everything else goes to all others.
  private mutating func say(_ line: String, from id: UInt64) -> [Action] {
    guard line.utf8.count <= Self.longestLine else { return [.kick(id)] }
    let joined = names[id] == nil ? join(id) : []
    let name = names[id, default: ""]
    guard line.hasPrefix("/name ") else { return joined + tellOthers(than: id, "\(name): \(line)") }
    names[id] = String(line.dropFirst(6))
    return joined + tellOthers(than: id, "\(name) is now \(line.dropFirst(6))")
  }

  private mutating func join(_ id: UInt64) -> [Action] {
    names[id] = "guest \(String(clientID: id).suffix(4))"
    return tellOthers(than: id, "\(names[id, default: ""]) is here")
  }

  private mutating func leave(_ id: UInt64) -> [Action] {
    guard let name = names.removeValue(forKey: id) else { return [] }
    return tellOthers(than: id, "\(name) has left")
  }

  private func tellOthers(than id: UInt64, _ text: String) -> [Action] {
    names.keys.filter { $0 != id }.sorted().map { .tell($0, text) }
  }
}
