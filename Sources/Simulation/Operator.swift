#if TESTABLE
import Glibc
import VoltlaneWire
@testable import Relay

/// The operator of the relay: reloads settings, suspends the machine, lets the kernel run short of memory, gives
/// ``Commands``, asks ``Questions``, and finally tells the relay to drain. Takes the relay's events, as the control
/// thread does.
final class Operator {
  unowned let world: World
  private var chance: Chance
  private var moveChance: Chance
  private let inquiries: Inquiries
  private let questions: Questions
  private let commands: Commands
  /// Networks that are kept out, whatever settings are read anew.
  private(set) var bans: [Ban] = []
  private var settings: [SettingsLane] = []
  private var events: [EventLane] = []
  /// Limits that some hosts may not have taken yet.
  private var limits: [AdmissionLimits] = []

  private final class SettingsLane {
    var lane: RecordProducer<HostSettings>
    init(_ lane: RecordLane<HostSettings>) { self.lane = RecordProducer(lane) }
  }

  private final class EventLane {
    var lane: RecordConsumer<Event>
    init(_ lane: RecordLane<Event>) { self.lane = RecordConsumer(lane) }
  }

  init(_ world: World) {
    self.world = world
    chance = Chance(world.seed, for: 600)
    moveChance = Chance(world.seed, for: 601)
    inquiries = Inquiries(world.parts.queries, world.parts.ids)
    questions = Questions(world, inquiries)
    commands = Commands(world, inquiries)
    settings = world.parts.settings.map(SettingsLane.init)
    events = world.parts.events.map(EventLane.init)
  }

  func begin() { act() }

  private func act() {
    let leisure = chance.time(max(world.plan.operatorEvery / 8, 1), world.plan.operatorEvery)
    world.schedule(world.after(leisure)) { [self] in act() }
    for lane in events {
      while let event = lane.lane.pop() { world.note("  log: \(event)") }
    }
    if !inquiries.takeReplies().isEmpty { world.wakeControlledHosts() }
    noteBans()
    if world.isHostile, world.turns > 0 { questions.act() }
    if !world.plan.isFair, moveChance.oneIn(2) { move() }
    guard world.isHostile, !world.plan.isCalm, !world.plan.isFair, world.turns > 0 else { return }
    commands.act()
    switch chance.below(8) {
    case 0 where !world.plan.reloads.isEmpty: reload(chance.pick(world.plan.reloads))
    case 1: world.standStill(for: chance.time(100_000_000, chance.oneIn(4) ? 8_000_000_000_000 : 4_000_000_000))
    case 2: world.endStandingOperations(chance.pick([ENOMEM, ECANCELED, EOVERFLOW]))
    case 3 where world.plan.odds.shrinkingBuffers.perMillion > 0: shrinkBuffers()
    default: break
    }
  }

  /// A role is to be at some other host, or the same; where one is still on its way, nothing more is asked of it.
  private func move() {
    let role = world.parts.table.whereabouts[moveChance.below(world.parts.table.whereabouts.count)]
    let host = moveChance.below(world.roleHosts)
    guard role.host == role.wanted else { return }
    world.note("a role is to go from \(role.host) to \(host)")
    role.wanted = host
    world.wakeControlledHosts()
  }

  private func shrinkBuffers() {
    for case let link? in world.descriptors {
      link.sendCapacity = chance.magnitude(world.plan.bufferLeast, world.plan.bufferMost)
      link.receiveCapacity = chance.magnitude(world.plan.bufferLeast, world.plan.bufferMost)
      link.inboxCapacity = chance.magnitude(world.plan.bufferLeast, world.plan.bufferMost)
    }
  }

  /// As ``Relay/reconfigure(_:)`` does. False if the last settings are still under way.
  @discardableResult
  func reload(_ new: RelayConfiguration) -> Bool {
    guard settings.allSatisfy({ $0.lane.hasRoom() }) else { return false }
    world.note("settings are read anew")
    var next = new.reloaded(over: world.configuration)
    next.protection.denied = bans.map(\.network)
    next.assemblyBudget = max(next.assemblyBudget, next.maxPacketSize)
    next.missedPacketsTotal = max(next.missedPacketsTotal, next.maxPacketSize + Wire.sizePrefix)
    world.configuration = next
    world.parts.budget.limit = next.assemblyBudget
    world.parts.missedBudget.limit = next.missedPacketsTotal
    world.parts.memory.setBudget(next.protection.memoryBudget)
    let admission = AdmissionLimits(next.protection)
    limits.append(admission)
    for lane in settings {
      lane.lane.push(HostSettings(next, admission))
      _ = lane.lane.publish()
    }
    world.wakeControlledHosts()
    return true
  }

  // MARK: Bans

  /// Keeps a network out from now on. False if that is impossible now.
  func ban(_ network: Network) -> Bool {
    bans.append(Ban(network: network))
    if reload(world.configuration) { return true }
    bans.removeLast()
    return false
  }

  func unban(_ index: Int) {
    let ban = bans.remove(at: index)
    if !reload(world.configuration) { bans.insert(ban, at: index) }
  }

  /// Once every role has taken the last settings, nobody is let in from a banned network who connects later.
  private func noteBans() {
    guard bans.contains(where: { $0.heldSince == nil }), settings.allSatisfy({ $0.lane.oldestHeld() == nil }) else {
      return
    }
    for index in bans.indices where bans[index].heldSince == nil { bans[index].heldSince = world.turns }
  }

  /// Nothing is asked any more that has not been answered.
  var hasAllAnswers: Bool { questions.underWay == 0 && commands.underWay == 0 }

  // MARK: The end

  /// Limits end, and so do commands.
  func relax() {
    commands.acceptAgain()
    bans = []
    var relaxed = world.configuration
    relaxed.protection = ProtectionConfiguration()
    relaxed.protection.proxies = world.configuration.protection.proxies
    relaxed.protection.acceptRatePerAddress = nil
    relaxed.protection.maxPendingHandshakesPerAddress = nil
    relaxed.protection.maxClientsPerAddress = nil
    relaxed.protection.maxClientsPerPrefix = nil
    relaxed.protection.reconnectFailures = nil
    relaxed.protection.reconnectFailuresPerAddress = nil
    reload(relaxed)
  }

  func drain() {
    world.note("the relay is told to drain")
    world.control.phase = .draining
    world.wakeControlledHosts()
  }
}
#endif
