#if ServiceLifecycle
import ServiceLifecycle

/// A client in a `ServiceGroup` is closed when the group shuts down, and ends the group's run if it is over before.
extension Client: Service {
  /// Throws why the client is over, if it was not closed.
  public func run() async throws {
    for await state in states.cancelOnGracefulShutdown() {
      guard case .over(let ending) = state else { continue }
      if let error = ending.error { throw error }
      return
    }
    await close()
  }
}
#endif
