import NIOCore
import Synchronization
import VoltlaneNIO
import VoltlaneText

/// What lies between a client and its relay, and can be cut. Each connection that comes is carried on to the relay, and
/// so is how it ends: a reset has another meaning than an orderly close.
final class Cable: Sendable {
  var endpoint: Endpoint { listener.endpoint }

  private let listener: ByteListener
  private let state: Mutex<(relay: Endpoint, ends: [(BytePeer, BytePeer)])>

  private init(_ listener: ByteListener, to relay: Endpoint) {
    self.listener = listener
    state = Mutex((relay, []))
  }

  static func start(to relay: Endpoint) async throws -> Cable {
    let cable = Cable(try await ByteListener.start(), to: relay)
    Task {
      while true {
        let client = await cable.listener.accept()
        guard let relay = try? await BytePeer.connect(to: cable.state.withLock({ $0.relay })) else {
          try? await client.reset()
          continue
        }
        cable.state.withLock { $0.ends.append((client, relay)) }
        cable.carry(from: client, to: relay)
        cable.carry(from: relay, to: client)
      }
    }
    return cable
  }

  /// Later connections go to this relay.
  func move(to relay: Endpoint) {
    state.withLock { $0.relay = relay }
  }

  /// Resets every connection, on both sides, and what was on its way is lost.
  func cut() async {
    let ends = state.withLock { state in
      defer { state.ends = [] }
      return state.ends
    }
    for (client, relay) in ends {
      try? await client.reset()
      try? await relay.reset()
    }
  }

  private func carry(from: BytePeer, to: BytePeer) {
    Task {
      while let bytes = await from.readSome() { try? await to.write(bytes) }
      if from.isFinished { try? await to.finish() } else { try? await to.reset() }
    }
  }
}
