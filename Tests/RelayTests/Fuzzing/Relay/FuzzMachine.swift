import Glibc
import VoltlaneWire

@testable import Relay

/// What the kernel, the machine and the operator of a fuzzed relay do: operations that end, standstills, roles that
/// move, settings that are read anew, and questions to the shards.
final class FuzzMachine {
  private let simulation: Simulation
  private var configuration: RelayConfiguration
  private let settings: [SettingsLane]
  /// Limits that some host may not have taken yet.
  private var limits: [AdmissionLimits] = []
  private let inquiries: Inquiries
  private var underWay = 0

  private final class SettingsLane {
    var lane: RecordProducer<HostSettings>
    init(_ lane: RecordLane<HostSettings>) { self.lane = RecordProducer(lane) }
  }

  init(_ simulation: Simulation, _ configuration: RelayConfiguration) {
    self.simulation = simulation
    self.configuration = configuration
    settings = simulation.parts.settings.map(SettingsLane.init)
    inquiries = Inquiries(simulation.parts.queries, simulation.parts.ids)
  }

  func step(_ script: inout FuzzScript, ids: [UInt64]) {
    let errors = [ENOMEM, ECANCELED, EOVERFLOW, EMFILE, ENOBUFS, ECONNABORTED, EINVAL]
    let choice = script.byte()
    switch choice % 12 {
    case 0, 1: move(&script)
    case 2: simulation.endStandingOperations(errno: errors[script.below(errors.count)])
    case 3:
      let shard = script.below(configuration.shards)
      if simulation.accepts(shard: shard) {
        simulation.acceptFails(shard: shard, errno: errors[script.below(errors.count)])
      }
    case 4: simulation.stop(for: UInt64(script.byte()) * 300 * Limits.millisecond)
    case 5: lookUp(script.byte())
    case 6: simulation.holdWorkers = choice & 16 != 0
    case 7: reload(&script)
    case 8: ask(&script, ids)
    case 9: wake(inquiries.takeReplies())
    case 10: simulation.roughness = script.below(8)
    default: simulation.control.accepts = choice & 16 != 0
    }
  }

  /// Nothing stands in the way any more.
  func relent() {
    simulation.holdWorkers = false
    simulation.lookUp = .found
    simulation.hasAddress = true
    simulation.nextDialLeadsToItself = false
  }

  /// What was asked is answered, if there is anybody left to do so.
  func finish() {
    for _ in 0..<100 where underWay > 0 {
      wake(inquiries.takeReplies())
      simulation.settle(for: 0)
    }
  }

  private func move(_ script: inout FuzzScript) {
    let roles = simulation.parts.table.whereabouts
    let role = script.below(roles.count)
    let host = script.below(simulation.controlIsWatched.count)
    guard roles[role].host == roles[role].wanted else { return }
    simulation.move(role: role, to: host)
  }

  private func lookUp(_ choice: UInt8) {
    switch choice % 4 {
    case 0: simulation.lookUp = .found
    case 1: simulation.lookUp = .unknownName
    case 2: simulation.lookUp = .failed(code: EAI_AGAIN, errno: 0)
    default: simulation.nextDialLeadsToItself = true
    }
    simulation.hasAddress = choice & 4 == 0
  }

  /// As ``Relay/reconfigure(_:)`` does.
  private func reload(_ script: inout FuzzScript) {
    guard settings.allSatisfy({ $0.lane.hasRoom() }) else { return }
    let choice = script.byte()
    var new = configuration
    switch choice % 10 {
    case 0: new.clientSendBuffer = 1 + 16 * Int(script.byte())
    case 1: new.missedPacketsBuffer = 16 * Int(script.byte())
    case 2: new.protection.memoryBudget = (1 << 20) + 4096 * Int(script.byte())
    case 3: new.protection.clientPacketRate = choice & 16 == 0 ? nil : Rate(1, per: .second)
    case 4: new.staleTimeout = choice & 16 == 0 ? .zero : .seconds(5)
    case 5: new.maxStaleClients = script.below(8)
    case 6: new.protection.slowClientTimeout = choice & 16 == 0 ? nil : .milliseconds(200)
    case 7:
      new.protection.maxClientsPerAddress = choice & 16 == 0 ? nil : 2
      new.protection.maxPendingHandshakesPerAddress = choice & 32 == 0 ? nil : 1
      new.protection.acceptRatePerAddress = choice & 64 == 0 ? nil : Rate(2, per: .second)
    case 8: new.protection.handshakeTimeout = choice & 16 == 0 ? nil : .seconds(1)
    default: new.eventLevel = choice & 16 == 0 ? .error : .debug
    }
    new = new.reloaded(over: configuration)
    new.assemblyBudget = max(new.assemblyBudget, new.maxPacketSize)
    new.missedPacketsTotal = max(new.missedPacketsTotal, new.maxPacketSize + Wire.sizePrefix)
    configuration = new
    simulation.parts.budget.limit = new.assemblyBudget
    simulation.parts.missedBudget.limit = new.missedPacketsTotal
    simulation.parts.memory.setBudget(new.protection.memoryBudget)
    let admission = AdmissionLimits(new.protection)
    limits.append(admission)
    for lane in settings {
      lane.lane.push(HostSettings(new, admission))
      _ = lane.lane.publish()
    }
    wakeAll()
  }

  private func ask(_ script: inout FuzzScript, _ ids: [UInt64]) {
    guard underWay < 8 else { return }
    let choice = script.byte()
    let id = ids.isEmpty ? nil : ids[script.below(ids.count)]
    underWay += 1
    let finished: (Int) -> Void = { [unowned self] _ in underWay -= 1 }
    let question: ShardQuestion
    switch choice % 6 {
    case 0: question = .clients(ClientFilter())
    case 1: question = .clients(ClientFilter(state: choice & 8 == 0 ? .stale : nil, id: id))
    case 2: question = .endAll(ClientFilter(id: choice & 8 == 0 ? id : nil), .kicked)
    case 3: question = .ended
    case 4: question = .refused
    default: return wake(inquiries.end(ids, choice & 8 == 0 ? .kicked : .relayDraining, finished: finished))
    }
    let most = choice & 16 == 0 ? 2 : .max
    wake(inquiries.ask(question, most: most, row: { FuzzMachine.check($0) }, finished: finished))
  }

  /// More rows are wanted.
  private static func check(_ row: ShardRow) -> Bool {
    guard case .client(let client) = row else { return true }
    precondition(client.idle <= client.age &+ 1 << Limits.wheelTickShift, "idle before it began")
    return true
  }

  private func wake(_ shards: [Int]) {
    if !shards.isEmpty { wakeAll() }
  }

  private func wakeAll() {
    for host in simulation.controlIsWatched.indices { simulation.complete(host, Token(.control), 1, more: true) }
  }
}
