// SEAM: the relay's events are being written elsewhere; this much of them is what the configuration needs.

/// Something that the log tells.
public enum Event: Sendable {
  /// How important an event is.
  public enum Level: UInt8, Sendable, Comparable, BitwiseCopyable {
    case debug, info, warning, error
    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }
}
