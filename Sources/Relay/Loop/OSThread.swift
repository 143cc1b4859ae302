import CLinux
import Glibc
import VoltlaneText

/// A kernel thread that runs one closure.
struct OSThread {
  private let handle: pthread_t

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// Starts a thread that ``join()`` must be called on.
  init(name: String, _ body: @escaping @Sendable () -> Void) {
    var handle = pthread_t()
    let start = Unmanaged.passRetained(Start(name, body))
    let result = pthread_create(
      &handle, nil,
      { argument in
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        voltlane_name_thread(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    // Fails only where the process may have no more threads: there is nothing to run on.
    precondition(result == 0, "pthread_create: \(systemMessage(result))")
    self.handle = handle
  }

  func join() {
    pthread_join(handle, nil)
  }

  /// Starts a thread that nobody waits for.
  static func detach(name: String, _ body: @escaping @Sendable () -> Void) {
    pthread_detach(OSThread(name: name, body).handle)
  }
}
