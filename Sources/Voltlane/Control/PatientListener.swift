import Glibc
import NIOCore
import NIOPosix
import Relay
import Synchronization
import VoltlaneText

/// A listening socket for the operator. If another process still has its address, most likely an earlier relay that
/// drains and can be watched and called back meanwhile, the program runs without it, and takes it over as soon as it is
/// free.
///
/// A unix socket is its owner's: the file of a process that died is replaced, and one on which somebody listens is not.
final class PatientListener: Sendable {
  enum Progress: Sendable {
    /// Listening at this endpoint, with the actual port.
    case listens(Endpoint)
    /// Somebody else does.
    case waits(String)
  }

  private struct State {
    var channel: (any Channel)?
    var file: UnixSocketFile?
    var isClosed = false
  }

  /// How often a taken address is tried again.
  private static let retry = TimeAmount.seconds(1)
  /// Reading and writing for its owner.
  private static let mode: UInt16 = 0o600

  private let wanted: Endpoint
  private let backlog: Int
  private let loop: any EventLoop
  private let bootstrap: @Sendable () -> ServerBootstrap
  private let told: @Sendable (Progress) -> Void
  private let state = Mutex(State())

  /// Listens, or begins to wait for that. `bootstrap` makes what gets connections, on `loop`. Throws if it can never
  /// listen there; `told` is called before this returns, and from `loop` later.
  init(
    at wanted: Endpoint, backlog: Int, on loop: any EventLoop, bootstrap: @escaping @Sendable () -> ServerBootstrap,
    told: @escaping @Sendable (Progress) -> Void
  ) throws {
    self.wanted = wanted
    self.backlog = backlog
    self.loop = loop
    self.bootstrap = bootstrap
    self.told = told
    do {
      take(try open().wait())
    } catch  where Self.isInUse(error) {
      told(.waits("the address is in use"))
      tryAgain()
    }
  }

  /// Where it listens; what was asked for while it does not.
  var endpoint: Endpoint { state.withLock { Endpoint($0.channel?.localAddress) } ?? wanted }

  private func open() -> EventLoopFuture<any Channel> {
    switch wanted {
    case .tcp(let host, let port): return bootstrap().bind(host: host, port: Int(port))
    case .unix:
      do {
        let (socket, file) = try UnixSocketFile.listen(wanted, backlog: backlog, mode: Self.mode, group: nil)
        state.withLock { $0.file = file }
        return bootstrap().withBoundSocket(socket)
      } catch {
        return loop.makeFailedFuture(error)
      }
    }
  }

  private func take(_ channel: any Channel) {
    let isClosed = state.withLock { state in
      state.channel = channel
      return state.isClosed
    }
    if isClosed { return close() }
    told(.listens(endpoint))
  }

  private func tryAgain() {
    loop.scheduleTask(in: Self.retry) { [self] in
      guard !state.withLock(\.isClosed) else { return }
      open().whenComplete { [self] result in
        switch result {
        case .success(let channel): take(channel)
        // Whatever it is by now: it was not the first time.
        case .failure: tryAgain()
        }
      }
    }
  }

  private static func isInUse(_ error: any Error) -> Bool {
    if case .listen(_, let errno)? = error as? RelayError { return errno == EADDRINUSE }
    return (error as? IOError)?.errnoCode == EADDRINUSE
  }

  /// Closes it, without waiting for that. The file is gone when this returns.
  func close() {
    let (channel, file) = state.withLock { state in
      defer { state.file = nil }
      state.isClosed = true
      return (state.channel, state.file)
    }
    file?.remove()
    channel?.close(promise: nil)
  }
}
