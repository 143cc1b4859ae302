#if TESTABLE
@testable import Relay

/// A host behind a reference, because arrays cannot hold noncopyable values.
final class SimulatedHost {
  private var host: Host<SimulatedKernel>
  private(set) var isDone = false
  let isWorkerOnly: Bool

  init(_ host: consuming Host<SimulatedKernel>) {
    isWorkerOnly = host.hostsWorkerOnly()
    self.host = host
  }

  func start() { host.start() }
  func wake() { host.kernel.wake() }
  func turn() { host.turn() }

  func sleep() {
    if host.isDone() { isDone = true }
    host.sleep()
  }

  /// Whether its firehose begins every connection but the first with a sweep.
  var announces: Bool { host.firehose.isHere && host.firehose.role.settings.announces }

  func addMemory(to sum: inout CountedMemory) {
    if host.shard.isHere { host.shard.role.countMemory(into: &sum) }
  }

  /// Calls `body` for each connection that has a session, with its socket and the session's id.
  func eachAttached(_ body: (Int32, UInt64) -> Void) {
    let used = host.shard.role.connections.used
    for index in 0..<used {
      let connection = host.shard.role.connections[index]
      guard connection.phase.hasSocket, connection.session != .none else { continue }
      body(connection.socket, host.shard.role.sessions[connection.session].id)
    }
  }

  /// An invariant of the shard's data structures that does not hold; nil if all do.
  func violation() -> String? {
    guard host.shard.isHere else { return nil }
    do {
      try host.shard.role.checkInvariants(host.kernel)
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// What the relay knows about a socket.
  func describe(_ descriptor: Int32) -> String? {
    var text: String?
    withShard { shard in
      for index in 0..<shard.connections.used {
        let connection = shard.connections[index]
        guard connection.phase.hasSocket, connection.socket == descriptor else { continue }
        text =
          "slot \(index) is \(connection.phase) with \(connection.flags), on the list of \(connection.list), "
          + "\(connection.pending.count) bytes pending, \(connection.pending.unsentCount) of them unsent"
      }
    }
    return text
  }

  func withShard(_ body: (borrowing Shard<SimulatedKernel>) -> Void) {
    if host.shard.isHere { body(host.shard.role) }
  }

  var shard: Int? { host.shard.isHere ? host.shard.role.number : nil }

  /// Whether the shard has a session with this id.
  func isLive(_ id: UInt64) -> Bool {
    host.shard.role.sessions.findLive(id, at: host.shard.role.sessions.place(of: id).slot) != nil
  }
}
#endif
