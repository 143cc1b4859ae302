import Dispatch
import Synchronization
import VoltlaneBackend

/// An echo backend for programs whose main thread has nothing else to do but wait.
package final class BlockingEcho: Sendable {
  private let backend: EchoBackend
  /// Where it listens, with the actual port.
  package var address: Endpoint { backend.address }

  /// Blocks until it listens.
  package init(on endpoint: Endpoint, maxPacketSize: Int) throws(BackendError) {
    let listening = Waited<Result<EchoBackend, BackendError>>()
    Task.detached {
      do throws(BackendError) {
        listening.finish(.success(try await EchoBackend.listen(on: endpoint, maxPacketSize: maxPacketSize)))
      } catch {
        listening.finish(.failure(error))
      }
    }
    backend = try listening.wait().get()
  }

  /// Closes its connections, and removes the file of a unix socket. Blocks until that is done, but no longer than it
  /// takes when everything works.
  package func stop() {
    let stopped = Waited<Void>()
    Task.detached { [backend] in
      await backend.stop()
      stopped.finish(())
    }
    stopped.wait(atMost: .seconds(2))
  }
}

/// A result that one thread waits for.
private final class Waited<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let finished = DispatchSemaphore(value: 0)

  func finish(_ value: Value) {
    self.value.withLock { $0 = value }
    finished.signal()
  }

  func wait() -> Value {
    finished.wait()
    // It is set before the signal comes.
    return value.withLock { $0! }
  }

  func wait(atMost time: DispatchTimeInterval) { _ = finished.wait(timeout: .now() + time) }
}
