#if ServiceLifecycle
import ServiceLifecycle

/// A backend in a `ServiceGroup` is stopped when the group shuts down.
extension Backend: Service {
  public func run() async throws {
    // Cancelled: stopped all the same.
    try? await gracefulShutdown()
    await stop()
  }
}
#endif
