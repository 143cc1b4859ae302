import CLinux

/// How a relay's threads reach the system.
public enum KernelInterface: String, Sendable, CustomStringConvertible {
  case uring = "io_uring"
  case epoll

  public var description: String { rawValue }
}

/// What an operator may ask for.
public enum KernelChoice: String, CaseIterable, Sendable {
  /// io_uring where the system gives all of it that is needed, otherwise epoll.
  case auto
  case uring
  case epoll
}

/// Which interface a relay takes, and what spoke against the other.
public struct KernelFinding: Sendable {
  public let interface: KernelInterface
  /// Why there is no io_uring; nil if there is, or if nobody asked for it.
  public let refusal: RingRefusal?

  /// Tries what the choice needs. Throws if it asks for io_uring, and the system does not give it.
  public init(_ configuration: RelayConfiguration) throws(RelayError) {
    voltlane_raise_locked_memory_limit()
    voltlane_raise_descriptor_limit()
    if configuration.io == .epoll {
      (interface, refusal) = (.epoll, nil)
      return
    }
    refusal = KernelFinding.ringRefusal(configuration)
    interface = refusal == nil ? .uring : .epoll
    if configuration.io == .uring, let refusal { throw .ring(refusal) }
  }

  /// Makes a ring and uses it, then as many as there will be threads, and closes them. Returns what is missing and what
  /// to do about it, or nil.
  public static func ringRefusal(_ configuration: RelayConfiguration) -> RingRefusal? {
    voltlane_raise_locked_memory_limit()
    voltlane_raise_descriptor_limit()
    do throws(RingRefusal) {
      try RingFeatures.check(memory: configuration.ringMemory)
      try RingFeatures.tryRings(configuration.ringCount, memory: configuration.ringMemory)
      return nil
    } catch {
      return error
    }
  }
}
