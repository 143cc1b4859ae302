@testable import Relay

/// The control thread's part in a simulation, as far as it asks shards something.
final class Questioner {
  private let simulation: Simulation
  private let inquiries: Inquiries

  /// What a question led to.
  final class Answer {
    var rows: [ShardRow] = []
    /// How many sessions were ended; nil while shards still have to answer.
    var ended: Int?

    var clients: [ClientRow] { rows.compactMap { if case .client(let row) = $0 { row } else { nil } } }
    var ends: [EndedRow] { rows.compactMap { if case .ended(let row) = $0 { row } else { nil } } }
  }

  init(_ simulation: Simulation) {
    self.simulation = simulation
    inquiries = Inquiries(simulation.parts.queries, simulation.parts.ids)
  }

  /// Asks, and does not wait for the answer.
  func begin(_ question: ShardQuestion, most: Int = .max) -> Answer {
    let answer = Answer()
    wake(
      inquiries.ask(
        question, most: most,
        row: {
          answer.rows.append($0)
          return true
        }, finished: { answer.ended = $0 }))
    return answer
  }

  func beginEnd(_ ids: [UInt64], _ reason: CloseReason) -> Answer {
    let answer = Answer()
    wake(inquiries.end(ids, reason) { answer.ended = $0 })
    return answer
  }

  /// Gives the relay its turns, and takes what the shards have answered by then.
  func goOn() {
    simulation.settle()
    wake(inquiries.takeReplies())
  }

  func ask(_ question: ShardQuestion, most: Int = .max) -> Answer { finish(begin(question, most: most)) }
  func end(_ ids: [UInt64], _ reason: CloseReason) -> Answer { finish(beginEnd(ids, reason)) }

  func finish(_ answer: Answer) -> Answer {
    var rounds = 0
    while answer.ended == nil {
      goOn()
      rounds += 1
      precondition(rounds < 100_000, "a shard never answers")
    }
    simulation.settle()
    return answer
  }

  private func wake(_ shards: [Int]) {
    // In simulations a shard's host has its number.
    for shard in shards { simulation.complete(shard, Token(.control), 1, more: true) }
  }
}
