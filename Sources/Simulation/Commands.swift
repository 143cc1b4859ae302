#if TESTABLE
import VoltlaneText
@testable import Relay

/// A network that the operator keeps out.
struct Ban {
  let network: Network
  /// The turn after which all roles have known of it.
  var heldSince: Int?

  /// Whether a connection should not have been let in.
  func keepsOut(_ link: Link) -> Bool {
    guard let heldSince, link.truth.openedIn > heldSince else { return false }
    return link.truth.admittedAs.map { network.addresses.contains($0.bits) } ?? false
  }
}

/// What the operator does to clients while the relay runs, as over the control socket: ends sessions, lets clients go,
/// keeps addresses out, and accepts nobody for a while. Roles move meanwhile.
final class Commands {
  unowned let world: World
  private var chance: Chance
  private let inquiries: Inquiries
  /// Commands that have not been carried out.
  private(set) var underWay = 0
  private static let most = 3

  init(_ world: World, _ inquiries: Inquiries) {
    self.world = world
    self.inquiries = inquiries
    chance = Chance(world.seed, for: 603)
  }

  func act() {
    guard underWay < Commands.most, chance.oneIn(4) else { return }
    switch chance.below(8) {
    case 0: kickOne()
    case 1: kickAddress(somebodysAddress())
    case 2, 3: letGo()
    case 4: world.control.accepts ? stopAccepting() : acceptAgain()
    case 5: acceptAgain()
    case 6: ban()
    default: if !world.controller.bans.isEmpty { world.controller.unban(chance.below(world.controller.bans.count)) }
    }
  }

  // MARK: Ending sessions

  private func kickOne() {
    guard let session = world.ledger.live.randomElement(using: &chance), session.endedInside == nil else { return }
    world.note("the operator kicks \(session.ownerName)")
    session.operatorKicked = true
    ask(.end(id: session.id, .kicked)) { [world] in
      if world.isLive(session.id, session.shard) {
        world.fail("the operator is told that \(session.ownerName) was kicked, and its session lives")
      }
    }
  }

  private func kickAddress(_ address: ClientAddress) {
    let network = Commands.network(address)
    let range = AddressRange(network)
    // Limits see some addresses as one.
    let meant = world.ledger.live.filter { session in
      session.endedInside == nil && session.link.truth.addresses.last.map { range.contains($0.key) } ?? false
    }
    let links = meant.map(\.link)
    world.note("the operator kicks everybody at \(network)")
    world.ledger.kickedRanges.append(range)
    ask(.endAll(ClientFilter(addresses: range), .kicked)) { [world] in
      for (session, link) in zip(meant, links)
      where session.link === link && link.truth.session === session && world.isLive(session.id, session.shard)
        && !world.isStale(session.id, session.shard)
      {
        world.fail("the operator is told that all at \(network) were kicked, and that of \(session.ownerName) lives")
      }
    }
  }

  /// Lets a few clients go, or all of them.
  private func letGo() {
    var chosen = world.ledger.live.filter { $0.endedInside == nil }
    if !chance.oneIn(6) { chosen = Array(chosen.shuffled(using: &chance).prefix(chance.between(1, 4))) }
    guard !chosen.isEmpty else { return }
    world.note("the operator lets \(chosen.count) clients go")
    for session in chosen {
      session.wasLetGo = true
      session.downAtLetGo = min(session.downAtLetGo, session.down.count)
      if world.control.accepts, !session.link.finArrived { session.letGo = world.now }
    }
    underWay += 1
    wake(
      inquiries.end(chosen.map(\.id), .relayDraining) { [self] _ in
        underWay -= 1
      })
  }

  private func ask(_ question: ShardQuestion, _ finished: @escaping () -> Void) {
    underWay += 1
    wake(
      inquiries.ask(question) { _ in
        true
      } finished: { [self] _ in
        underWay -= 1
        finished()
      })
  }

  private func wake(_ shards: [Int]) {
    if !shards.isEmpty { world.wakeControlledHosts() }
  }

  // MARK: Who may come in

  /// As ``Relay/stopAccepting()`` does.
  private func stopAccepting() {
    guard world.control.accepts, world.control.phase == .running else { return }
    world.note("the relay accepts nobody")
    world.control.accepts = false
    world.stopListening()
  }

  /// As ``Relay/acceptAgain()`` does.
  func acceptAgain() {
    guard !world.control.accepts, world.control.phase == .running else { return }
    world.note("the relay accepts again")
    world.listenAgain()
    world.control.accepts = true
    world.acceptedAgainAt = world.now
    world.wakeControlledHosts()
  }

  private func ban() {
    let address = somebodysAddress()
    guard address != .none, world.controller.bans.count < 4 else { return }
    let network = Commands.network(address)
    guard world.controller.ban(network) else { return }
    world.note("the operator bans \(network)")
    kickAddress(address)
  }

  private func somebodysAddress() -> ClientAddress {
    let all = world.ledger.live.compactMap(\.link.truth.addresses.last).filter { $0 != .none }
    return chance.oneIn(2) || all.isEmpty ? chance.pick(world.plan.addresses) : chance.pick(all)
  }

  /// The network of one address.
  private static func network(_ address: ClientAddress) -> Network {
    // What is written there is an address.
    try! Network(ProxiedClient.text(address))
  }
}
#endif
