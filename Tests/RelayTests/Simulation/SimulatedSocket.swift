import Glibc

@testable import Relay

/// One end of a simulated TCP connection, as the relay's kernel sees it; the other end is the test's.
final class SimulatedSocket {
  let descriptor: Int32
  /// Bytes on their way to the relay.
  var incoming: [UInt8] = []
  private var incomingStart = 0
  /// The other end has sent its FIN, or a reset.
  var peerFinished = false
  var peerReset = false
  /// Its FIN was that of a close: whatever the relay sends is answered with a reset, at once by a unix socket. What it
  /// had sent before can still be received.
  var peerClosed = false
  var isAnswered = false

  /// Bytes that the relay has sent.
  var outgoing: [UInt8] = []
  /// Of those, how many the other end's TCP has not acknowledged, and for how long it has acknowledged nothing.
  var unacknowledged = 0
  var silence: UInt64 = 0
  var peerAddress = ClientAddress(v4: 0x7f00_0001)
  /// Another one for each.
  var peerPort: UInt16 { peerAddress == .none ? 0 : 50_000 &+ UInt16(truncatingIfNeeded: descriptor) }
  /// How often the relay has called the kernel to send to it, or to ask what of that is acknowledged.
  var calls = 0
  /// How many more the socket takes before the test makes room.
  var room = Int.max
  var relayFinished = false
  var relayClosed = false
  /// A unix socket, which can't be reset.
  var isLocal = false
  /// The relay reset the connection.
  var relayReset = false
  /// The relay forgot the connection without a word.
  var relayAbandoned = false

  /// The listener did not hear of it.
  var isUnheard = false
  /// The relay freed it of what its listener has for those it does not hear.
  var isUnburdened = false

  /// Polls that wait, with the host that waits.
  var readablePoll: (host: Int, token: UInt64)?
  var writablePoll: (host: Int, token: UInt64)?

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// What the relay sent and the other end has not taken.
  var backlog: Backlog {
    Backlog(waiting: unacknowledged, taken: isLocal ? nil : UInt64(outgoing.count - unacknowledged))
  }

  var available: Int { incoming.count - incomingStart }

  func take(_ count: Int, into target: UnsafeMutableRawPointer) {
    incoming.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + incomingStart, byteCount: count) }
    incomingStart += count
    if incomingStart == incoming.count {
      incoming.removeAll(keepingCapacity: true)
      incomingStart = 0
    }
  }

  var pollBits: Int32 {
    var bits: Int32 = 0
    if available > 0 || peerFinished || peerReset { bits |= Int32(POLLIN) }
    if peerFinished { bits |= 0x2000 }
    if peerReset { bits |= Int32(POLLERR | POLLHUP) }
    if isAnswered { bits |= Int32(isLocal ? POLLHUP : POLLERR | POLLHUP) }
    if peerFinished && relayFinished { bits |= Int32(POLLHUP) }
    return bits
  }
}
