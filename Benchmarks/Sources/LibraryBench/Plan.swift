/// The arguments, read.
struct Plan {
  enum Subject: String, CaseIterable {
    case shout, send
  }

  enum Loop: String, CaseIterable {
    /// In `main`, as the documentation writes it.
    case documented
    /// In a task that no actor holds.
    case detached
    /// In `main`, by batches; of `send` the same as `documented`.
    case batches
    /// A program in another language, named by `--program`.
    case program
  }

  struct Refused: Error, CustomStringConvertible {
    var description: String
  }

  var subject: Subject
  var loop: Loop
  var seconds = 0.5
  var warmup = 0.2
  /// What is run as `/bin/sh -c`, with the port to listen on, or to connect to, in `PORT`.
  var program: String?

  init(_ arguments: ArraySlice<String>) throws(Refused) {
    var words = arguments
    subject = try Self.choice(words.popFirst(), "what to measure")
    loop = try Self.choice(words.popFirst(), "which loop")
    while let flag = words.popFirst() {
      if flag == "--program" {
        program = words.popFirst()
        continue
      }
      guard let value = words.popFirst().flatMap(Double.init), value >= 0, value.isFinite else {
        throw Refused(description: "\(flag) needs a number of seconds")
      }
      switch flag {
      case "--seconds" where value > 0: seconds = value
      case "--warmup": warmup = value
      default: throw Refused(description: "there is no \(flag) \(value)")
      }
    }
    guard (loop == .program) == (program != nil) else { throw Refused(description: "--program goes with program") }
  }

  private static func choice<Choice: CaseIterable & RawRepresentable<String>>(
    _ word: String?, _ what: String
  ) throws(Refused) -> Choice {
    if let choice = word.flatMap(Choice.init(rawValue:)) { return choice }
    let all = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    throw Refused(description: "\(what)? One of \(all)")
  }
}
