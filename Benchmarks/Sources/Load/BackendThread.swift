import Glibc
import Synchronization

/// The echo backend on a thread of its own, or as a whole process.
public final class BackendThread: Sendable {
  private let connected = Atomic(false)
  private let stopping = Atomic(false)
  private let failure = Mutex<BenchError?>(nil)
  private let complaints = Mutex<[String]>([])
  private let handle = Mutex<pthread_t?>(nil)

  private let address: Address
  private let congestionControl: String?
  /// Whether it answers a plain proxy, and of how many clients.
  private let isPlain: Bool
  private let clients: Int

  public init(address: Address, congestionControl: String?, isPlain: Bool = false, clients: Int = 0) {
    self.address = address
    self.congestionControl = congestionControl
    self.isPlain = isPlain
    self.clients = clients
  }

  /// Serves on the calling thread until `stop`.
  public func serve() throws(BenchError) {
    let epoll = try Epoll()
    var backend = try LoadBackend.open(
      at: address, isPlain ? .echoBytes : .echo, connections: isPlain ? clients : 0,
      congestionControl: congestionControl, epoll)
    while !stopping.load(ordering: .relaxed) {
      let count = epoll.wait(nanoseconds: 100_000_000)
      for index in 0..<count {
        let (token, ready) = epoll.event(index)
        try backend.handle(token, ready, epoll)
      }
      connected.store(backend.isConnected, ordering: .relaxed)
    }
    let all = backend.complaints
    complaints.withLock { $0 = all }
  }

  func start() throws(BenchError) {
    var thread = pthread_t()
    let this = Unmanaged.passRetained(self)
    let result = pthread_create(
      &thread, nil,
      { argument in
        let this = Unmanaged<BackendThread>.fromOpaque(argument!).takeRetainedValue()
        do throws(BenchError) {
          try this.serve()
        } catch {
          this.failure.withLock { $0 = error }
        }
        return nil
      }, this.toOpaque())
    guard result == 0 else { throw .system("pthread_create", code: result) }
    handle.withLock { $0 = thread }
  }

  /// Whether the relay has dialled in; throws what ended the thread.
  func isConnected() throws(BenchError) -> Bool {
    if let error = failure.withLock({ $0 }) { throw error }
    return connected.load(ordering: .relaxed)
  }

  /// Ends the thread and returns what was odd about the relay's side.
  func stop() -> [String] {
    stopping.store(true, ordering: .relaxed)
    if let thread = handle.withLock({ $0 }) { pthread_join(thread, nil) }
    return complaints.withLock { $0 }
  }
}
