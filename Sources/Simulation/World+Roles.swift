#if TESTABLE
@testable import Relay

/// The relay's roles, wherever they are: everything is in one thread.
extension World {
  func shard(_ number: Int) -> Hosted<Shard<SimulatedKernel>> { parts.table.shard(number) }

  /// Whether the firehose begins a connection with a sweep, where it is not the first.
  var announces: Bool { parts.table.firehose().role.settings.announces }

  /// Gives each connection of a shard that has a session: its socket and the session's id.
  func eachAttached(_ shard: Int, _ body: (Int32, UInt64) -> Void) {
    let shard = self.shard(shard)
    for index in 0..<shard.role.connections.used {
      let connection = shard.role.connections[index]
      guard connection.phase.hasSocket, connection.session != .none else { continue }
      body(connection.socket, shard.role.sessions[connection.session].id)
    }
  }

  /// What the relay has to say of a socket.
  func describe(_ descriptor: Int32) -> String {
    for number in 0..<configuration.shards {
      let shard = self.shard(number)
      for index in 0..<shard.role.connections.used {
        let connection = shard.role.connections[index]
        guard connection.phase.hasSocket, connection.socket == descriptor else { continue }
        return
          "slot \(index) of shard \(number) is \(connection.phase) with \(connection.flags), "
          + "on the list of \(connection.list), "
          + "\(connection.pending.count) bytes pending, \(connection.pending.unsentCount) of them unsent"
      }
    }
    return "no shard has it"
  }

  /// Whether the client of a session is away.
  func isStale(_ id: UInt64, _ shard: Int) -> Bool {
    let shard = self.shard(shard)
    guard let slot = shard.role.sessions.findLive(id, at: shard.role.sessions.place(of: id).slot) else { return false }
    return shard.role.sessions[slot].state == .stale
  }

  /// Whether packets wait in the firehose for room in a lane.
  var firehoseIsStalled: Bool {
    let firehose = parts.table.firehose()
    return firehose.role.stalledLane != nil || firehose.role.multicast != nil
  }

  /// Whether the firehose has passed something on that the shard has not done with.
  func hasPacketsUnderWay(_ shard: Int) -> Bool {
    let indices = parts.lanes.downlinks[shard].descriptors.indices
    return indices.head != indices.tail
  }

  /// Whether a shard has a session of this id.
  func isLive(_ id: UInt64, _ shard: Int) -> Bool {
    let shard = self.shard(shard)
    return shard.role.sessions.findLive(id, at: shard.role.sessions.place(of: id).slot) != nil
  }
}
#endif
