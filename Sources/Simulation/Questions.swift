#if TESTABLE
@testable import Relay

/// What the operator asks the shards while they run, as the admin endpoint does: who is there, and what ended. Whatever
/// else goes on, all who are there meanwhile are listed, nobody twice, and nothing that is listed contradicts itself.
final class Questions {
  unowned let world: World
  private var chance: Chance
  private let inquiries: Inquiries
  private(set) var underWay = 0
  private static let most = 4

  init(_ world: World, _ inquiries: Inquiries) {
    self.world = world
    self.inquiries = inquiries
    chance = Chance(world.seed, for: 602)
  }

  /// Asks something now and then.
  func act() {
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
    let turn = world.turns
    let before = world.ledger.live.filter { $0.endedInside == nil }
    world.note("the operator asks who is there")
    wake(
      inquiries.ask(.clients(ClientFilter())) { [world] row in
        guard case .client(let client) = row else {
          world.fail("an end is listed among clients")
          return true
        }
        if !seen.insert(client.id).inserted { world.fail("client \(client.id) is listed twice") }
        let isIdleTooLong = client.idle > client.age &+ 1 << Limits.wheelTickShift
        if isIdleTooLong { world.fail("\(client.id) was idle before it began") }
        if let ended = world.ledger.sessions[client.id]?.endedInside, ended.turn < turn {
          world.fail("client \(client.id) is listed, and ended in turn \(ended.turn)")
        }
        return true
      } finished: { [self] _ in
        world.note("the operator hears of \(seen.count) clients")
        underWay -= 1
        for session in before where session.endedInside == nil && !seen.contains(session.id) {
          world.fail("\(session.ownerName) is there, and is not listed")
        }
      })
  }

  private func askForEnds(_ question: ShardQuestion) {
    var last: [UInt64] = []
    wake(
      inquiries.ask(question, most: 100) { [world] row in
        guard case .ended(let end) = row else {
          world.fail("a client is listed among ends")
          return true
        }
        last.append(end.time)
        return true
      } finished: { [self] _ in
        if last.count > 100 * world.configuration.shards { world.fail("more ends are listed than were asked for") }
        underWay -= 1
      })
  }

  private func wake(_ shards: [Int]) {
    if !shards.isEmpty { world.wakeControlledHosts() }
  }
}
#endif
