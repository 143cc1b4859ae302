import LobbyPackets
import NIOCore
import VoltlaneBackend

/// Who is in the lobby, and what to do about an event. No I/O, so that it can be tested.
///
/// It keeps nothing on disk. After a restart it asks every client that the relay names who they are, and they repeat
/// what was not confirmed.
struct Lobby {
  enum Action: Equatable {
    case send(UInt64, LobbyPacket)
    case kick(UInt64)
  }

  private struct Member {
    var name: String
    /// The last of its lines that was accepted.
    var confirmed: Int
    /// Lines of others that were sent to it, and that it has not acknowledged.
    var unread = 0
    /// Lines that were left out meanwhile.
    var missed = 0
  }

  /// How many lines may be on their way to a member. The relay has a buffer for each client, and ends a client whose
  /// buffer is full. To avoid that, the server leaves out lines for members that do not read.
  static let window = 64

  private var table = ClientTable()
  private var members: [UInt64: Member] = [:]

  mutating func handle(_ event: BackendEvent) -> [Action] {
    var actions: [Action] = []
    for change in table.take(event) {
      switch change {
      case .left(let id, _): members[id] = nil
      case .joined, .cameBack, .wentAway, .moved: break
      }
    }
    switch event {
    // Packets may have been lost in either direction: a member that is asked repeats what was not confirmed.
    case .reconnection(let id): actions.append(.send(id, .whoAreYou))
    case .data(let id, let bytes): actions += take(bytes, from: id)
    default: break
    }
    return actions
  }

  private mutating func take(_ bytes: ByteBuffer, from id: UInt64) -> [Action] {
    // Not a client of ours: it does not belong here.
    guard let packet = PacketCoder.decode(MemberPacket.self, bytes) else { return [.kick(id)] }
    switch packet {
    case .join(let name, let next):
      // A member that was restarted knows less than the server, and is told.
      let known = members.values.filter { $0.name == name }.map(\.confirmed).max() ?? 0
      let confirmed = max(known, next - 1)
      for (other, member) in members where member.name == name && other != id { members[other] = nil }
      members[id] = Member(name: name, confirmed: confirmed)
      return [.send(id, .welcome(confirmed: confirmed, members: members.values.map(\.name).sorted()))]
    case .say(let number, let text):
      return say(number, text, id)
    case .read(let count):
      let unread = members[id]?.unread ?? 0
      members[id]?.unread = max(0, unread - max(0, count))
      return tellMissed(id)
    case .ping:
      return [.send(id, .pong)]
    case .goodbye:
      // The protocol has no packet for this, and the relay would keep the session for a while.
      members[id] = nil
      return [.kick(id)]
    }
  }

  private mutating func say(_ number: Int, _ text: String, _ id: UInt64) -> [Action] {
    guard let member = members[id] else { return [.send(id, .whoAreYou)] }
    // It comes once more because the confirmation was lost, or it follows a gap, which the member will fill.
    guard number == member.confirmed + 1 else { return [.send(id, .confirmed(member.confirmed))] }
    members[id]?.confirmed = number
    var actions: [Action] = [.send(id, .confirmed(number))]
    for other in members.keys.sorted() where other != id {
      guard table[other]?.presence == .connected, members[other]!.unread < Self.window else {
        members[other]!.missed += 1
        continue
      }
      actions += tellMissed(other)
      members[other]!.unread += 1
      actions.append(.send(other, .said(name: member.name, number: number, text: text)))
    }
    return actions
  }

  private mutating func tellMissed(_ id: UInt64) -> [Action] {
    guard let member = members[id], member.missed > 0, member.unread < Self.window else { return [] }
    members[id]?.missed = 0
    return [.send(id, .missed(member.missed))]
  }
}
