import NIOCore
import NIOPosix
import Relay
import Synchronization
import VoltlaneText

/// Where the operator's commands come in: a unix socket for the relay's own user, and root. Each line is a request, an
/// object of JSON, and each is answered by a line:
///
///     {"command":"kick","id":"a3f10c55e9027d41"}
///     {"ok":{"ended":1}}
///
/// A thread of its own does the reading and writing, and the control loop does what is asked. So nobody waits for a
/// peer that stalls.
final class ControlSocket {
  private let group: MultiThreadedEventLoopGroup
  private let listener: PatientListener

  /// `told` is called at once, and again if the path comes free only later.
  init(_ path: String, _ queue: ControlQueue, told: @escaping @Sendable (PatientListener.Progress) -> Void) throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let peers = ControlPeers()
    self.group = group
    do {
      listener = try PatientListener(
        at: .unix(path: path), backlog: ControlLimits.peers, on: group.next(),
        bootstrap: {
          ServerBootstrap(group: group)
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            // Without descriptors accepting pauses; otherwise the thread would try again without end.
            .serverChannelInitializer { channel in
              channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
              }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
              channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(ControlPeer(queue, peers))
              }
            }
        }, told: told)
    } catch {
      group.shutdownGracefully { _ in }
      throw error
    }
  }

  /// Nobody is heard any more, and the file is gone. Waits until that is so.
  func close() {
    listener.close()
    try? group.syncShutdownGracefully()
  }
}

/// What the socket allows its peers.
enum ControlLimits {
  /// Peers at a time: a few people, each with a `top`, and scripts.
  static let peers = 16
  /// Descriptors that they may take while the relay runs: one more is accepted to be told that there are too many.
  static let descriptors = peers + 2
  /// Bytes of a request: the longest list of networks that somebody may set.
  static let request = 256 * 1024
  /// How long a peer may take to finish a request that it has begun, or to take its answer.
  static let patience = TimeAmount.seconds(10)
  /// How long it may say nothing.
  static let silence = TimeAmount.minutes(2)
}

/// How many there are.
final class ControlPeers: Sendable {
  private let count = Atomic(0)

  /// False if there are too many.
  func add() -> Bool {
    if count.add(1, ordering: .relaxed).newValue <= ControlLimits.peers { return true }
    remove()
    return false
  }

  func remove() { count.subtract(1, ordering: .relaxed) }
}
