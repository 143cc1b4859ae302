import Dispatch
import Synchronization
import VoltlaneBackend

/// The echo backend of `--backend echo`, in this process.
final class EmbeddedBackend: Sendable {
  private let backend: EchoBackend
  /// Where it listens, as the relay dials it.
  var address: Endpoint { backend.address }

  /// Starts it on a free port of the loopback. Blocks until it listens.
  init(maxPacketSize: Int) throws(BackendError) {
    let listening = Waited<Result<EchoBackend, BackendError>>()
    Task.detached {
      do throws(BackendError) {
        let endpoint = Endpoint.tcp(host: "127.0.0.1", port: 0)
        listening.finish(.success(try await EchoBackend.listen(on: endpoint, maxPacketSize: maxPacketSize)))
      } catch {
        listening.finish(.failure(error))
      }
    }
    backend = try listening.wait().get()
  }

  /// Closes its connections. Blocks until that is done.
  func stop() {
    let stopped = Waited<Void>()
    Task.detached { [backend] in
      await backend.stop()
      stopped.finish(())
    }
    stopped.wait()
  }
}

/// A result that one thread waits for; the program's main thread has nothing else to do meanwhile.
private final class Waited<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let finished = DispatchSemaphore(value: 0)

  func finish(_ value: Value) {
    self.value.withLock { $0 = value }
    finished.signal()
  }

  func wait() -> Value {
    finished.wait()
    return value.withLock { $0! }
  }
}
