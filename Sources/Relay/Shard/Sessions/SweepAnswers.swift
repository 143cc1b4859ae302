/// A shard's end of the sweep, in which the firehose asks which sessions live and the shard answers.
///
/// Invariant: `answered` is the last request that was answered. The firehose asks again only after it has taken the
/// answer, so there is room for the next.
struct SweepAnswers: ~Copyable {
  private let sweep: SweepLane
  private var answers: RecordProducer<SweepAnswer>
  private var answered: UInt64 = 0

  init(_ sweep: SweepLane) {
    self.sweep = sweep
    answers = RecordProducer(sweep.answers)
  }

  /// Whether the firehose waits for an answer.
  @inline(__always) var isAsked: Bool { sweep.requests.published != answered }

  /// The request to be answered now; nil where there is none.
  mutating func takeRequest() -> UInt64? {
    let request = sweep.requests.published
    guard request != answered, answers.hasRoom() else { return nil }
    answered = request
    return request
  }

  /// True where the firehose may sleep and has to be woken.
  mutating func publish(_ answer: SweepAnswer) -> Bool {
    answers.push(answer)
    return answers.publish()
  }
}

#if DEBUG
extension SweepAnswers {
  func checkInvariants() throws(InvariantViolation) {
    let asked = sweep.requests.published
    try require(answered <= asked, "request \(answered) of the firehose was answered, and it has made \(asked)")
  }
}
#endif
