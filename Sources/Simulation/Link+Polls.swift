#if TESTABLE
import Glibc
@testable import Relay

/// The relay's polls on a connection: those for something to read continue until they are cancelled, and those for room
/// complete once.
extension Link {
  struct Poll {
    let isForRoom: Bool
    let host: Int
    let token: Token
    let serial: Int
    var isOnItsWay = false
  }

  var pollBits: Int32 {
    var bits: Int32 = 0
    if !arrived.isEmpty || finArrived || error != 0 { bits |= Int32(POLLIN) }
    if finArrived || error != 0 { bits |= PollBits.readHangup }
    if error != 0 { bits |= Int32(isLocal ? POLLHUP : POLLERR | POLLHUP) }
    if finArrived && relayFinished { bits |= Int32(POLLHUP) }
    return bits
  }

  /// As in Linux: a third of the buffer must be free.
  var isWritable: Bool {
    guard !isConnecting else { return false }
    let room = sendCapacity - unacknowledged
    return error != 0 || room > 0 && room >= unacknowledged / 2
  }

  func poll(_ token: Token, host: Int, forRoom: Bool, serial: Int) {
    if polls.contains(where: { $0.host == host && $0.isForRoom == forRoom }) {
      world.fail("the relay polls \(name) twice\(forRoom ? " for room" : "")")
    }
    isPolled(at: host)
    polls.append(Poll(isForRoom: forRoom, host: host, token: token, serial: serial))
    if forRoom { writeEdge() } else if pollBits != 0 { readEdge() }
  }

  /// Removes the poll with this token, and returns it.
  func cancel(_ token: Token, host: Int) -> Poll? {
    guard let index = polls.firstIndex(where: { $0.host == host && $0.token == token }) else { return nil }
    defer { pollEnded() }
    return polls.remove(at: index)
  }

  /// Removes all polls that continue until they are cancelled, and returns them.
  func takeStandingPolls() -> [Poll] {
    let standing = polls.filter { !$0.isForRoom }
    polls.removeAll { !$0.isForRoom }
    pollEnded()
    return standing
  }

  private func pollEnded() {
    if isHeldOpen, polls.isEmpty { letGo() }
  }

  private func remove(_ serial: Int) {
    polls.removeAll { $0.serial == serial }
    pollEnded()
  }

  func readEdge() {
    for index in polls.indices.reversed() where !polls[index].isForRoom && !polls[index].isOnItsWay {
      polls[index].isOnItsWay = true
      let poll = polls[index]
      world.completeLater(poll.host) { [self] in
        guard let index = polls.firstIndex(where: { $0.serial == poll.serial }) else { return }
        polls[index].isOnItsWay = false
        let bits = pollBits
        guard bits != 0 else { return }
        if !world.post(poll.host, poll.token, bits, isStanding: true) { remove(poll.serial) }
      }
    }
  }

  func writeEdge() {
    guard isWritable else { return }
    for index in polls.indices.reversed() where polls[index].isForRoom && !polls[index].isOnItsWay {
      polls[index].isOnItsWay = true
      let poll = polls[index]
      world.completeLater(poll.host) { [self] in
        guard let index = polls.firstIndex(where: { $0.serial == poll.serial }) else { return }
        guard isWritable else {
          polls[index].isOnItsWay = false
          return
        }
        remove(poll.serial)
        world.post(poll.host, poll.token, Int32(POLLOUT) | (error != 0 ? Int32(POLLERR | POLLHUP) : 0))
      }
    }
  }
}
#endif
