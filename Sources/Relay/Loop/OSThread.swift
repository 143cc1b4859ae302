import CLinux
import Glibc

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

  /// Starts a thread, on which ``join()`` must be called. Throws if the process may not have another thread.
  init(name: String, _ body: @escaping @Sendable () -> Void) throws(RelayError) {
    var handle = pthread_t()
    let start = Unmanaged.passRetained(Start(name, body))
    let result = pthread_create(
      &handle, nil,
      { argument in
        // This is the pointer passed below, which is never nil.
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        voltlane_name_thread(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    guard result == 0 else {
      start.release()
      throw .thread(name, errno: result)
    }
    self.handle = handle
  }

  func join() {
    pthread_join(handle, nil)
  }

  /// Starts a detached thread. Throws as the initialiser does.
  static func detach(name: String, _ body: @escaping @Sendable () -> Void) throws(RelayError) {
    pthread_detach(try OSThread(name: name, body).handle)
  }
}
