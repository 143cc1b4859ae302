#if TESTABLE
@testable import Relay

/// What the operator asks the shards while they run, as the admin endpoint does: who is there, and what ended. Whatever
/// else goes on, a client is never listed twice, and nothing that is listed contradicts itself.
final class Questions {
  unowned let world: World
  private var chance: Chance
  private let inquiries: Inquiries
  private var underWay = 0
  private static let most = 4

  init(_ world: World) {
    self.world = world
    chance = Chance(world.seed, for: 602)
    inquiries = Inquiries(world.parts.queries, world.parts.ids)
  }

  /// Takes what was answered, and asks something more now and then.
  func act() {
    wake(inquiries.takeReplies())
    guard underWay < Questions.most, chance.oneIn(3) else { return }
    underWay += 1
    switch chance.below(3) {
    case 0: askForClients()
    case 1: askForEnds(.ended)
    default: askForEnds(.refused)
    }
  }

  private func askForClients() {
    var seen: Set<UInt64> = []
    world.note("the operator asks who is there")
    wake(
      inquiries.ask(.clients(ClientFilter())) { [seed = world.seed] row in
        guard case .client(let client) = row else { fatalError("seed \(seed): an end among clients") }
        precondition(seen.insert(client.id).inserted, "seed \(seed): client \(client.id) is listed twice")
        precondition(client.idle <= client.age &+ 1 << Limits.wheelTickShift, "seed \(seed): idle before it began")
      } finished: { [self] _ in
        world.note("the operator hears of \(seen.count) clients")
        underWay -= 1
      })
  }

  private func askForEnds(_ question: ShardQuestion) {
    var last: [UInt64] = []
    wake(
      inquiries.ask(question, most: 100) { [seed = world.seed] row in
        guard case .ended(let end) = row else { fatalError("seed \(seed): a client among ends") }
        last.append(end.time)
      } finished: { [self] _ in
        precondition(last.count <= 100 * world.configuration.shards, "seed \(world.seed): too much is told")
        underWay -= 1
      })
  }

  private func wake(_ shards: [Int]) {
    if !shards.isEmpty { world.wakeControlledHosts() }
  }
}
#endif
