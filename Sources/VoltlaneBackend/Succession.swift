/// The connections of a backend, and whose turn it is. At most one is current, and a bounded number may wait.
struct Succession {
  private(set) var current: FirehoseHandler?
  /// How many connections have been current.
  private(set) var begun = 0
  /// In the order in which they were accepted.
  private var waiting: [FirehoseHandler] = []
  /// No connection becomes current any more.
  var isStopped = false

  var all: [FirehoseHandler] { waiting + (current.map { [$0] } ?? []) }

  /// The first waiting connection that has sent something.
  var awaited: FirehoseHandler? { waiting.first(where: \.hasSpoken) }

  /// Adds a connection; returns one that has to go instead.
  mutating func append(_ firehose: FirehoseHandler) -> FirehoseHandler? {
    waiting.append(firehose)
    return waiting.count > BackendLimits.waitingConnections ? waiting.first : nil
  }

  mutating func remove(_ firehose: FirehoseHandler) {
    if current === firehose { current = nil }
    waiting.removeAll { $0 === firehose }
  }

  /// Makes the next connection current if there is none, and returns it: first those that have sent something, in
  /// order, then the newest, because older ones are more likely to be left over.
  mutating func advance() -> FirehoseHandler? {
    guard !isStopped, current == nil, let next = waiting.first(where: \.hasSpoken) ?? waiting.last else { return nil }
    waiting.removeAll { $0 === next }
    current = next
    begun += 1
    return next
  }
}
