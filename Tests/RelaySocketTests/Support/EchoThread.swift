import Glibc
import Relay
import Synchronization

/// A backend on a thread of its own that sends every data packet back, and keeps the reasons of the 0x01s. It goes on
/// reading while it has something to send, as a backend must.
final class EchoThread: Sendable {
  private struct State {
    var isStopping = false
    var failures: [UInt64: [String]] = [:]
    var violation: String?
  }

  let endpoint: Endpoint
  private let state = Mutex(State())
  private let ended = Mutex(false)

  init() throws {
    let backend = try RawBackend()
    endpoint = backend.endpoint
    let listening = Box(backend)
    Thread.start { [self] in
      do {
        try echo(try listening.value.accept().socket)
      } catch {
        state.withLock { $0.violation = "\(error)" }
      }
      ended.withLock { $0 = true }
    }
  }

  /// The reasons with which the session was ended; waits for the first.
  func failures(of id: UInt64) throws -> [String] {
    for _ in 0..<patience {
      if let reasons = state.withLock({ $0.failures[id] }) { return reasons }
      usleep(1000)
    }
    throw SocketFailure.timeout("the 0x01 of \(id)")
  }

  /// What went wrong in the thread; nil where nothing did.
  var violation: String? { state.withLock { $0.violation } }

  func stop() {
    state.withLock { $0.isStopping = true }
    while !ended.withLock({ $0 }) { usleep(1000) }
  }

  private func echo(_ socket: RawSocket) throws {
    var parser = TaggedStream()
    var unsent: [UInt8] = []
    var sent = 0
    while !state.withLock({ $0.isStopping }), socket.end == nil {
      _ = SocketCalls.wait(socket.descriptor, sent < unsent.count ? POLLIN | POLLOUT : POLLIN, milliseconds: 20)
      for packet in try parser.take(try socket.takeArrived()) {
        switch packet.flag {
        case 0: unsent += packet.bytes
        case 1:
          let reason = String(decoding: packet.data, as: UTF8.self)
          state.withLock { $0.failures[packet.id, default: []].append(reason) }
        default: throw SocketFailure.timeout("a packet with flag \(packet.flag)")
        }
      }
      if sent < unsent.count { sent += try socket.sendSome(unsent[sent...]) }
      if sent == unsent.count {
        unsent.removeAll(keepingCapacity: true)
        sent = 0
      }
    }
  }
}

/// Cuts tagged packets out of a stream.
struct TaggedStream {
  private var rest: [UInt8] = []

  mutating func take(_ bytes: [UInt8]) throws -> [Tagged] {
    rest += bytes
    var packets: [Tagged] = []
    var next = 0
    while rest.count - next >= 4 {
      let size = (0..<4).reduce(0) { $0 | Int(rest[next + $1]) << (8 * $1) }
      guard rest.count - next >= 4 + size else { break }
      guard size >= 9 else { throw SocketFailure.timeout("a tagged packet of \(size) bytes") }
      let id = (0..<8).reduce(UInt64(0)) { $0 | UInt64(rest[next + 4 + $1]) << UInt64(8 * $1) }
      packets.append(Tagged(id: id, flag: rest[next + 12], data: Array(rest[next + 13..<next + 4 + size])))
      next += 4 + size
    }
    rest.removeFirst(next)
    return packets
  }
}
