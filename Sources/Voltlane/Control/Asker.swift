import Synchronization

/// Who has asked over the control socket: whether an answer still finds anybody.
final class Asker: Sendable {
  private let hasLeft = Atomic<Bool>(false)

  var isThere: Bool { !hasLeft.load(ordering: .relaxed) }

  /// It has hung up, and never comes back.
  func leave() { hasLeft.store(true, ordering: .relaxed) }
}
