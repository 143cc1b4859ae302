import CLinux
import Relay
import Synchronization
import VoltlaneSettings

/// What the admin endpoint answers from: everything that can be seen without asking a thread of the relay, and the
/// mailbox for the rest.
final class AdminDesk: Sendable {
  let mailbox = AdminMailbox()
  private let state = Mutex(State())

  private struct State {
    var observer: RelayObserver?
    var limits = SettingLimits()
    var kernel = ""
    var interface = KernelInterface.uring
    var settings: [Setting] = []
    var questions = 0
    var requests: [Outcome: UInt64] = [:]
  }

  /// Limits of the relay that an operator wants to see used.
  struct SettingLimits: Sendable {
    var maxClients: Int?
    var maxStaleClients = 0
    var maxPendingHandshakes: Int?
  }

  /// A setting as operators see it.
  struct Setting: Equatable, Sendable {
    let name: String
    /// What is in effect, cut where it is a long list.
    let value: String
    /// Where that was given.
    let origin: String

    static let longest = 200

    init(name: String, value: String, origin: String) {
      self.name = name
      self.value = value.count > Self.longest ? "\(value.prefix(Self.longest))…" : value
      self.origin = origin
    }
  }

  /// What became of a request, or of a connection.
  enum Outcome: String, CaseIterable, Sendable {
    case answered, refused, failed
    /// Connections: from an address that is not allowed, for which there was no place, and that took too long.
    case forbidden, crowded, late
  }

  /// When the program started, in seconds since 1970.
  let started = System.unixTime()

  /// The relay runs.
  func begin(_ relay: Relay) {
    guard let observer = relay.observer else { return }
    state.withLock {
      $0.observer = observer
      $0.kernel = relay.kernelRelease
      $0.interface = relay.kernel.interface
    }
    take(relay.configuration)
    mailbox.open { observer.wakeControl() }
  }

  /// The relay has stopped.
  func end() {
    mailbox.close()
    state.withLock { $0.observer = nil }
  }

  /// The settings that are in effect from now on.
  func take(_ configuration: RelayConfiguration) {
    let limits = SettingLimits(
      maxClients: configuration.protection.maxClients, maxStaleClients: configuration.maxStaleClients,
      maxPendingHandshakes: configuration.protection.maxPendingHandshakes)
    state.withLock { $0.limits = limits }
  }

  /// The same as they are written down.
  func show(_ settings: EffectiveSettings) {
    let shown = settings.rows.map { Setting(name: $0.name, value: $0.value, origin: $0.origin) }
    state.withLock { $0.settings = shown }
  }

  var settings: [Setting] { state.withLock(\.settings) }

  /// nil before the relay runs, and after it.
  var observer: RelayObserver? { state.withLock(\.observer) }
  var limits: SettingLimits { state.withLock(\.limits) }
  var kernel: String { state.withLock(\.kernel) }
  var interface: KernelInterface { state.withLock(\.interface) }

  // MARK: Questions

  /// Whether one more may be asked. Each that may has to be finished.
  func beginQuestion() -> Bool {
    state.withLock { state in
      guard state.questions < AdminLimits.questions else { return false }
      state.questions += 1
      return true
    }
  }

  func finishQuestion() { state.withLock { $0.questions -= 1 } }

  // MARK: Its own counts

  func count(_ outcome: Outcome) { state.withLock { $0.requests[outcome, default: 0] += 1 } }

  func requests(_ outcome: Outcome) -> UInt64 { state.withLock { $0.requests[outcome] ?? 0 } }

  // MARK: Readiness

  /// nil if the relay takes clients and has a backend for them, else why not.
  var unreadiness: String? {
    guard let observer else { return "starting" }
    if observer.isEnding { return "draining" }
    if observer.firehoseState != .connected { return "no backend: \(observer.firehoseState)" }
    return nil
  }

  /// Seconds since the program started.
  var uptime: Double { max(0, System.unixTime() - started) }
}
