import Glibc
import Relay
import Synchronization

/// Something that stands in front of a backend that is not there: it accepts every connection and ends it.
final class Doorman: Sendable {
  enum Manner: CaseIterable, Codable, Sendable {
    case fin
    case reset
    /// It has a page for errors.
    case page
    /// Of a packet of the relay's it reads what it gets, and then closes.
    case takes
  }

  let endpoint: Endpoint
  private let listener: Box<RawBackend>
  private let state = Mutex((accepted: 0, taken: 0, stops: false))
  private let thread: Mutex<Background?> = Mutex(nil)

  /// `milliseconds` pass from each connection to its end.
  init(_ manner: Manner, after milliseconds: UInt32 = 0) throws {
    let listener = try Box(RawBackend())
    self.listener = listener
    endpoint = listener.value.endpoint
    let background = Background { [self] in
      while !state.withLock({ $0.stops }) {
        guard listener.value.isDialled(within: 20) else { continue }
        let socket = try listener.value.accept().socket
        state.withLock { $0.accepted += 1 }
        usleep(1000 * milliseconds)
        switch manner {
        case .fin: socket.close()
        case .reset: socket.reset()
        case .page:
          try? socket.send(Array("HTTP/1.0 503 Service Unavailable\r\n\r\n".utf8))
          socket.close()
        case .takes:
          let taken = (try? socket.takeArrived().count) ?? 0
          state.withLock { $0.taken += taken }
          socket.close()
        }
      }
    }
    thread.withLock { $0 = background }
  }

  var accepted: Int { state.withLock { $0.accepted } }
  var taken: Int { state.withLock { $0.taken } }

  /// It leaves, and the backend takes its place on the same port.
  func makeWay() throws -> RawBackend {
    state.withLock { $0.stops = true }
    try thread.withLock { $0 }?.join()
    return listener.value
  }
}
