import Glibc

/// A shard moves from one host to another: see ``Host`` for the order of things.
///
/// Its clients notice nothing. A poll that has been in the ring of the old host stays there until that host cancels it,
/// which is after the shard has gone: what it still completes is for a stay that is over. A poll that enters the new
/// ring looks at its socket first, so nothing that happened in between is missed.
extension Shard where K: ~Copyable {
  /// Accepts no more at this host. The shard leaves once ``canLeave()``.
  mutating func beginLeaving(_ kernel: inout K) { acceptor.leave(&kernel) }

  /// Whether nothing but polls is under way at this host.
  func canLeave() -> Bool { acceptor.hasLeft() && !sends.areUnderWay }

  /// Lists the polls that this host has to cancel. False, with nothing changed, if there is no memory for the list.
  mutating func leave(_ polls: inout DepartedPolls) -> Bool {
    guard polls.reserve(2 * connections.count) else { return false }
    // There may have been many more: those that are left are among the first slots.
    var left = connections.count
    for index in 0..<connections.used where left > 0 {
      if connections[index].phase != .free { left -= 1 }
      guard connections[index].phase.hasSocket, !connections[index].flags.contains(.unpolled) else { continue }
      let socket = connections[index].socket
      polls.append(connections.token(.clientReadable, index), of: socket)
      if connections[index].flags.contains(.waitsForRoom) {
        polls.append(connections.token(.clientWritable, index), of: socket)
      }
      connections[index].flags.insert(.unpolled)
    }
    nextToPoll = connections.used > 0 ? 0 : .none
    return true
  }

  /// Closes the sockets of its connections without a kernel, which the shard has none of any more.
  func closeSockets() {
    for index in 0..<connections.used where connections[index].phase.hasSocket {
      Glibc.close(connections[index].socket)
    }
  }

  /// Goes on at another host. Its connections are polled there in slices, see ``pollSome(_:)``.
  mutating func arrive(at host: Int, _ kernel: inout K) {
    counters.add(.rolesMoved)
    events.post(.roleMoved(shard: number, thread: host), &kernel)
    connections.waiter.moves()
    acceptor.arrive(connections.waiter, &kernel)
  }

  /// Polls the next of the connections that came along. A turn's slice is small, so that nobody at the host waits long.
  @inline(never)
  mutating func pollSome(_ kernel: inout K) {
    // Only now: what the last of them say comes with the next enter, and until then nobody is late.
    guard nextToPoll < connections.used else {
      nextToPoll = .none
      return
    }
    var left = Limits.pollsMovedPerTurn
    while left > 0, nextToPoll < connections.used {
      let index = nextToPoll
      nextToPoll &+= 1
      left &-= 1
      guard connections[index].flags.contains(.unpolled) else { continue }
      connections[index].flags.remove(.unpolled)
      guard connections[index].phase.hasSocket else { continue }
      kernel.submit(.pollReadable(connections[index].socket), connections.token(.clientReadable, index))
      if connections[index].flags.contains(.waitsForRoom) {
        kernel.submit(.pollWritable(connections[index].socket), connections.token(.clientWritable, index))
      }
    }
  }
}
