#if TESTABLE
import Glibc
import VoltlaneCrypto
@testable import Relay

/// The relay, its machine, its network, its clients and its backend in one thread, all from one seed.
///
/// - Each of the relay's hosts has a ``SimulatedKernel``. A tick is one turn of one host. Which one of those that can
///   run is random; a host's turn and its going to sleep are two steps, between which others may run.
/// - What the network and the machine do later is in one queue of events, by time. When no host can run, the clock
///   jumps to the next event or deadline.
/// - Clients, the backend and the operator act in events of their own. Each has its own random numbers, so that leaving
///   one out does not change the others.
/// - The ``Ledger`` sees every byte that crosses the relay's kernel calls and holds the relay to its promises.
public final class World {
  public let seed: UInt64
  let plan: WorldPlan
  public internal(set) var now: UInt64 = 1_000_000_000
  /// Turns that hosts have had.
  public internal(set) var turns = 0
  public internal(set) var trace: Trace
  /// The first promise that was broken.
  public private(set) var failure: Failure?

  public struct Failure: Sendable, CustomStringConvertible {
    public let text: String
    public let turn: Int
    public let time: UInt64
    public var description: String { "turn \(turn), \(time / 1_000_000) ms: \(text)" }
  }

  var chance: Chance
  var relayChance: Chance
  /// Faults happen. They stop before the end.
  var isHostile = true
  /// They stopped a while ago.
  var isSettling = false
  /// Until then no host runs.
  private var stillUntil: UInt64 = 0

  /// When somebody who would act after `time` does so: while the relay stands still for long, hardly anybody acts.
  func after(_ time: UInt64) -> UInt64 {
    let due = now &+ time
    return stillUntil > due &+ 1_000_000_000 ? stillUntil - 500_000_000 &+ time % 600_000_000 : due
  }

  // Events.
  private var events = EventQueue()

  // The relay.
  let arena = Arena()
  let identity: SecretKey
  let control: ControlBlock
  let parts: RelayParts<SimulatedKernel>
  var configuration: RelayConfiguration
  var hosts: [SimulatedHost] = []
  /// How many of them, the first ones, shards and the firehose may be at.
  private(set) var roleHosts = 0

  // The machine.
  struct HostState {
    enum Step {
      case turn
      case sleep
      case asleep(until: UInt64)
    }
    var step = Step.turn
    var posted: [Completion] = []
    var stalledUntil: UInt64 = 0
    var controlIsWatched = false
    var turns = 0
    var idleTurns = 0
    /// Turns in a row, without a sleep between them, in which nothing moved anywhere.
    var fruitlessTurns = 0
    var movesSeen = 0
    var passagesSeen = 0
    /// How many turns it had had when the backend last took nothing.
    var blockedAt = 0
  }
  var hostStates: [HostState] = []
  var descriptors: [Link?] = []
  /// Closed by the relay, and kept by a poll that has yet to be cancelled.
  var heldOpen: [Link] = []
  var links = 0
  var listeners: [Listener] = []
  var operations = 0
  var kernelCalls = 0
  /// How many calls moved bytes from or to a socket.
  var moves = 0
  /// How many clients' connections the relay was given, or has closed.
  var passages = 0
  /// The most turns in a row in which a host stayed awake and nothing moved.
  private(set) var mostFruitless = 0
  /// The last turn in which something moved, and how many moves there had been.
  private(set) var lastMove = (turn: 0, moves: 0)
  /// When the relay last began to accept clients again.
  var acceptedAgainAt: UInt64 = 0
  /// How the look-up of the backend's name ends, and whether an address is known.
  var lookUp = LookUp.found
  var hasAddress = true

  // Who acts.
  private(set) var ledger: Ledger!
  private(set) var backend: SimulatedBackend!
  private(set) var people: [Person] = []
  private(set) var controller: Operator!

  static let listenerBase: Int32 = 1_000_000

  let door: AllocatorDoor?
  /// What the relay has from the allocator before anybody has connected.
  private(set) var heldAtStart = 0
  private var depth = 0
  /// How often the relay's next requests for memory were made to fail.
  private(set) var allocationFailures = 0

  func enterRelay() {
    depth += 1
    if depth == 1 { door?.setInside(true) }
  }

  func leaveRelay() {
    depth -= 1
    if depth == 0 { door?.setInside(false) }
  }

  /// A trace's memory is not the relay's, even while the relay is running, so a trace changes nothing.
  private func outside(_ body: () -> Void) {
    if depth > 0 { door?.setInside(false) }
    body()
    if depth > 0 { door?.setInside(true) }
  }

  public init(
    seed: UInt64, keepsTrace: Bool = false, without absent: Set<Int> = [], door: AllocatorDoor? = nil
  ) throws {
    self.seed = seed
    self.door = door
    door?.begin()
    trace = Trace(isKept: keepsTrace)
    plan = WorldPlan(seed: seed)
    chance = Chance(seed, for: 1)
    relayChance = Chance(seed, for: 2)
    configuration = plan.configuration
    control = ControlBlock(arena, signal: -1)
    let placement = Placement(configuration)
    var secrets = Chance(seed, for: 3)
    identity = Keys.relay
    for shard in 0..<configuration.shards {
      listeners.append(Listener(descriptor: World.listenerBase + Int32(shard), shard: shard, isShared: false))
    }
    if plan.hasUnixListener {
      for shard in 0..<configuration.shards {
        let descriptor = World.listenerBase + 1000 + Int32(shard)
        listeners.append(Listener(descriptor: descriptor, shard: shard, isShared: true))
      }
    }
    let own = listeners
    parts = try RelayParts<SimulatedKernel>(
      configuration, identity,
      listeners: (0..<configuration.shards).map { shard in
        own.filter { $0.shard == shard }.map { ($0.descriptor, $0.isShared) }
      },
      placement, arena, control, descriptorLimit: plan.descriptors, random: { secrets.next() }, now: now)
    ledger = Ledger(self)
    backend = SimulatedBackend(self)
    controller = Operator(self)
    roleHosts = placement.roleHosts
    for index in placement.hosts.indices {
      hostStates.append(HostState())
      let own = parts.host(index)
      own.bell.ringDescriptor = Int32(index)
      hosts.append(
        SimulatedHost(Host(kernel: SimulatedKernel(self, host: index), parts: own, wakeSignal: -1, control: control)))
    }
    for host in hosts {
      enterRelay()
      host.start()
      leaveRelay()
    }
    heldAtStart = door?.held() ?? 0
    for number in 0..<plan.people where !absent.contains(number) { people.append(Person(self, number)) }
    for person in people { person.begin() }
    backend.begin()
    controller.begin()
  }

  // MARK: Running

  public func fail(_ text: @autoclosure () -> String) {
    guard failure == nil else { return }
    outside {
      failure = Failure(text: text(), turn: turns, time: now)
      trace.note("FAILED: \(failure!.text)")
    }
  }

  func note(_ line: @autoclosure () -> String) {
    guard trace.isKept else { return }
    outside { trace.note("\(turns) \(now / 1000) \(line())") }
  }

  func schedule(_ time: UInt64, _ body: @escaping () -> Void) { events.add(time, body) }

  /// One step: events that are due, then a turn of a host or its going to sleep; or a jump of the clock, though not
  /// beyond `limit`. False when nothing happens until then.
  func step(until limit: UInt64 = .max) -> Bool {
    while let body = events.take(by: now) { body() }
    var runnable: [Int] = []
    var wakes = UInt64.max
    for index in hosts.indices where !hosts[index].isDone {
      let state = hostStates[index]
      guard state.stalledUntil <= now else {
        wakes = min(wakes, state.stalledUntil)
        continue
      }
      if case .asleep(let until) = state.step, state.posted.isEmpty, until > now {
        wakes = min(wakes, until)
      } else {
        runnable.append(index)
      }
    }
    guard !runnable.isEmpty else {
      ledger.checkAsleep()
      let next = min(events.next, wakes)
      guard next != .max, next <= limit else { return false }
      now = max(now, next)
      return true
    }
    run(runnable[runnable.count == 1 ? 0 : chance.below(runnable.count)])
    return true
  }

  private func run(_ index: Int) {
    switch hostStates[index].step {
    case .sleep:
      enterRelay()
      hosts[index].sleep()
      leaveRelay()
    case .asleep:
      hosts[index].wake()
      turn(index)
    case .turn:
      turn(index)
    }
  }

  private func turn(_ index: Int) {
    turns += 1
    trace.mix(index)
    note("turn of \(index)")
    let work = operations &+ kernelCalls
    if isHostile, let door, chance.happens(plan.odds.allocationFailures) {
      allocationFailures += 1
      door.fail(chance.between(1, 8))
    }
    enterRelay()
    hosts[index].turn()
    leaveRelay()
    door?.fail(0)
    hostStates[index].step = .sleep
    ledger.turnEnds(index)
    if let violation = hosts[index].violation() { fail("host \(index): \(violation)") }
    hostStates[index].turns += 1
    if backend.link.map({ !$0.looksAlive || !$0.isWritable }) ?? true {
      for host in hostStates.indices { hostStates[host].blockedAt = hostStates[host].turns }
    }
    noteIdleness(index, isIdle: work == operations &+ kernelCalls)
    now &+= 1 &+ chance.next() % plan.turnTime
    if isHostile, chance.happens(plan.odds.hostStalls) {
      hostStates[index].stalledUntil = now &+ chance.time(1_000_000, 2_000_000_000)
    }
  }

  /// Turns in a row in which a host does nothing, and after which it does not sleep, mean that it spins. If nothing
  /// goes wrong, calls that move nothing are no reason to stay awake either.
  private func noteIdleness(_ index: Int, isIdle: Bool) {
    hostStates[index].idleTurns = isIdle ? hostStates[index].idleTurns + 1 : 0
    if hostStates[index].idleTurns > 2000 { fail("host \(index) spins: 2000 turns in which it does nothing") }
    // After the relay has stood still for long, thousands of connections may be waiting that only have to be closed.
    if lastMove.moves != moves + passages { lastMove = (turns, moves + passages) }
    let isFruitless =
      !isHostile && hostStates[index].movesSeen == moves && hostStates[index].passagesSeen == passages
    hostStates[index].movesSeen = moves
    hostStates[index].passagesSeen = passages
    hostStates[index].fruitlessTurns = isFruitless ? hostStates[index].fruitlessTurns + 1 : 0
    mostFruitless = max(mostFruitless, hostStates[index].fruitlessTurns)
    if hostStates[index].fruitlessTurns > 500 { fail("host \(index) spins: 500 turns in which nothing moves") }
  }

  func turnsOf(_ host: Int) -> Int { hostStates[host].turns }

  /// Turns of the host that a shard is at.
  func turns(ofShard shard: Int) -> Int { turnsOf(parts.table.whereabouts[shard].host) }

  /// Turns of the host that the firehose is at.
  var firehoseTurns: Int { turnsOf(parts.table.whereabouts[configuration.shards].host) }

  /// Whether there was a time since that turn of some host when the backend took nothing.
  func backendWasBlocked(since turns: Int) -> Bool { hostStates.contains { $0.blockedAt >= turns } }

  /// No host runs, while everybody else continues. Once this is over, hosts run first; otherwise they might never run.
  func standStill(for time: UInt64) {
    guard now >= stillUntil else { return }
    note("everything stands still for \(time / 1_000_000) ms")
    for index in hostStates.indices { hostStates[index].stalledUntil = now &+ time }
    stillUntil = now &+ time
  }

  subscript(metric: Metric) -> UInt64 { parts.counters.reduce(0) { $0 + $1[metric] } }
}
#endif
