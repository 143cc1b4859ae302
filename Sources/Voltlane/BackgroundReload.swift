import CLinux
import Synchronization
import VoltlaneService
import VoltlaneText

/// Reloads the settings on a thread of its own: a file may hang, or be in the middle of being written, and signals and
/// the log cannot wait for that. One reload at a time.
///
/// Its unsafe code hands an object over to the thread, and takes it back there.
final class BackgroundReload: Sendable {
  /// Becomes readable when there is an outcome to take.
  let signal: Int32
  private let state = Mutex<State>(.idle)

  typealias Outcome = Result<Reload.Outcome, ConfigurationError>
  typealias Read = @Sendable () throws(ConfigurationError) -> Reload.Outcome

  private enum State {
    case idle
    case reading
    case done(Outcome)
  }

  init() throws(StartError) {
    signal = try System.makeSignal()
  }

  deinit { System.close(signal) }

  /// Begins to read. Throws if the system has no thread left.
  func begin(_ read: @escaping Read) throws(StartError) {
    state.withLock { $0 = .reading }
    let work = unsafe Unmanaged.passRetained(Work(read: read, owner: self))
    let result = unsafe voltlane_run_detached(
      "reload",
      { argument in
        guard let argument = unsafe argument else { return }
        unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run()
      }, work.toOpaque())
    guard result == 0 else {
      unsafe work.release()
      state.withLock { $0 = .idle }
      throw StartError(doing: "no thread to read the settings", errno: -result)
    }
  }

  /// The outcome of reading; nil while it is in progress, or if there was none.
  func take() -> Outcome? {
    // First take whatever there is, then look: a thread that has just handed over its outcome may signal after it was
    // taken already, and the signal must not remain.
    System.clear(signal)
    return state.withLock { state in
      guard case .done(let outcome) = state else { return nil }
      state = .idle
      return outcome
    }
  }

  fileprivate func finish(_ outcome: Outcome) {
    state.withLock { $0 = .done(outcome) }
    voltlane_eventfd_signal(signal)
  }

  private final class Work: Sendable {
    let read: Read
    let owner: BackgroundReload

    init(read: @escaping Read, owner: BackgroundReload) {
      self.read = read
      self.owner = owner
    }

    func run() {
      do throws(ConfigurationError) {
        owner.finish(.success(try read()))
      } catch {
        owner.finish(.failure(error))
      }
    }
  }
}
