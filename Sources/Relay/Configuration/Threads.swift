/// How many threads host shards, and a firehose that has none of its own.
public enum Threads: Sendable, Equatable, CustomStringConvertible {
  /// As many as the traffic needs: one at first, at most so many.
  case upTo(Int)
  /// So many from the start; nothing moves.
  case fixed(Int)

  public var most: Int {
    switch self {
    case .upTo(let count), .fixed(let count): count
    }
  }

  public var isFixed: Bool { if case .fixed = self { true } else { false } }

  public var description: String {
    switch self {
    case .upTo(let count): "up to \(count)"
    case .fixed(let count): "\(count)"
    }
  }
}
