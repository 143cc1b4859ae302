#if TESTABLE
import VoltlaneText
import VoltlaneWire
@testable import Relay

/// How often each fault happens when it could. Random, so that each seed is another world.
struct FaultOdds {
  var partialReads = Odds.never, partialWrites = Odds.never, segments = Odds.never
  var receiveRefusals = Odds.never, sendRefusals = Odds.never
  var lateCompletions = Odds.never, disorder = Odds.never, shortReaps = Odds.never, shortSubmits = Odds.never
  var endedStanding = Odds.never, unheardBells = Odds.never, acceptFailures = Odds.never
  var linkBreaks = Odds.never, hostStalls = Odds.never, shrinkingBuffers = Odds.never
  var lookUpHangs = Odds.never, lookUpFails = Odds.never, dialFailures = Odds.never, dialRefusals = Odds.never
  var allocationFailures = Odds.never
}

/// Everything about a world that is decided before it begins.
struct WorldPlan {
  /// Nothing goes wrong, and nothing is lost.
  let isCalm: Bool
  /// The same, except for one client that may do anything: nobody else may notice.
  let isFair: Bool
  var odds = FaultOdds()
  var configuration: RelayConfiguration
  var people: Int
  var hasUnixListener: Bool
  var descriptors = Int.max
  var completionQueue = Int.max
  /// A turn takes up to this long.
  var turnTime: UInt64
  /// The longest time that one way through the network takes; 0 for none.
  var latency: UInt64
  var bufferLeast: Int
  var bufferMost: Int
  /// The largest packets that people and backend send, within what they may.
  var packetMost: Int
  /// The time between two things that somebody does.
  var leisure: UInt64
  var moods: [Mood]
  var backendMoods: [SimulatedBackend.Mood]
  var addresses: [ClientAddress]
  var proxy: ClientAddress?
  var memoryCheckEvery = 1
  /// How often the operator does something.
  var operatorEvery: UInt64

  var keepalive: UInt64 { configuration.keepalive.nanoseconds }
  var userTimeout: UInt64 { configuration.tcpUserTimeout.nanoseconds }
  /// Whether sessions may end because the backend is away.
  var losesWithBackend: Bool {
    (reloads + [configuration]).contains { $0.backendLoss != .hold || $0.backendLossTimeout != nil }
  }
  /// Settings that the operator reloads.
  var reloads: [RelayConfiguration] = []

  init(seed: UInt64) {
    var chance = Chance(seed, for: 0)
    isCalm = seed % 8 == 0
    isFair = seed % 8 == 4
    let isHealthy = isCalm || isFair
    if !isHealthy { odds = WorldPlan.odds(&chance) }
    people = chance.magnitude(2, 24)
    hasUnixListener = chance.oneIn(4)
    if !isHealthy, chance.oneIn(6) { descriptors = Limits.reservedDescriptors + chance.between(4, 40) }
    if !isHealthy, chance.oneIn(4) { completionQueue = chance.magnitude(4, 64) }
    turnTime = chance.time(1000, 100_000)
    latency = chance.oneIn(4) ? 0 : chance.time(10_000, 50_000_000)
    bufferLeast = chance.oneIn(3) ? 300 : 4096
    bufferMost = chance.magnitude(bufferLeast, 1 << 20)
    leisure = chance.time(500_000, 100_000_000)
    operatorEvery = chance.time(50_000_000, 5_000_000_000)
    var settings = WorldPlan.settings(&chance, isCalm: isHealthy)
    packetMost = min(settings.maxPacketSize, chance.magnitude(16, 100_000))
    addresses = WorldPlan.addresses(&chance)
    if chance.oneIn(4) {
      proxy = ClientAddress(v4: 0x0a63_0001)
      settings.protection.proxies = [try! Network("10.99.0.1")]
    }
    configuration = settings
    if isHealthy {
      // Nothing may be lost if nothing goes wrong, but what is under way to a client that leaves would be.
      moods = isCalm ? [.honest, .pipelining] : [.honest, .pipelining, .restless]
      backendMoods = [.echoing, .chatty, .casting]
    } else {
      moods = chance.oneIn(4) ? [.honest] : Mood.allCases.filter { _ in chance.oneIn(2) } + [.honest]
      backendMoods =
        chance.oneIn(4) ? [.echoing] : SimulatedBackend.Mood.allCases.filter { _ in chance.oneIn(2) } + [.chatty]
    }
    if !isHealthy, chance.oneIn(2) {
      for _ in 0..<chance.between(1, 4) {
        var other = WorldPlan.settings(&chance, isCalm: false)
        other.protection.proxies = settings.protection.proxies
        reloads.append(other)
      }
    }
    tellMore(seed)
  }

  /// What the backend is told of clients besides what they send, and whether unix clients come through a proxy.
  private mutating func tellMore(_ seed: UInt64) {
    var chance = Chance(seed, for: 4)
    configuration.tellsAway = chance.oneIn(2)
    configuration.tellsAddresses = chance.oneIn(2)
    configuration.protection.trustsUnixProxies = hasUnixListener && chance.oneIn(3)
    for index in reloads.indices {
      reloads[index].tellsAddresses = configuration.tellsAddresses
      reloads[index].tellsAway = chance.oneIn(6) != configuration.tellsAway
      reloads[index].protection.trustsUnixProxies = configuration.protection.trustsUnixProxies
    }
  }

  private static func odds(_ chance: inout Chance) -> FaultOdds {
    var odds = FaultOdds()
    odds.partialReads = Odds(&chance)
    odds.partialWrites = Odds(&chance)
    odds.segments = Odds(&chance, atMost: 1)
    odds.receiveRefusals = Odds(&chance, atMost: 3)
    odds.sendRefusals = Odds(&chance, atMost: 3)
    odds.lateCompletions = Odds(&chance, atMost: 1)
    odds.disorder = Odds(&chance, atMost: 1)
    odds.shortReaps = Odds(&chance)
    odds.shortSubmits = Odds(&chance, atMost: 3)
    odds.endedStanding = Odds(&chance, atMost: 4)
    odds.unheardBells = Odds(&chance, atMost: 3)
    odds.acceptFailures = Odds(&chance, atMost: 4)
    odds.linkBreaks = Odds(&chance, atMost: 1)
    odds.hostStalls = chance.oneIn(2) ? .never : Odds(&chance, atMost: 200)
    odds.shrinkingBuffers = Odds(&chance)
    odds.lookUpHangs = Odds(&chance)
    odds.lookUpFails = Odds(&chance)
    odds.dialFailures = Odds(&chance, atMost: 4)
    odds.dialRefusals = Odds(&chance, atMost: 4)
    odds.allocationFailures = chance.oneIn(3) ? Odds(&chance, atMost: 50) : .never
    return odds
  }

  private static func addresses(_ chance: inout Chance) -> [ClientAddress] {
    var addresses: [ClientAddress] = []
    for _ in 0..<chance.between(1, 12) {
      switch chance.below(4) {
      case 0: addresses.append(ClientAddress(v4: 0x7f00_0001))
      case 1: addresses.append(ClientAddress(v4: 0xc633_6400 | UInt32(chance.below(4))))
      case 2: addresses.append(ClientAddress(v4: 0xcb00_7100 + UInt32(chance.below(1 << 12))))
      default:
        let network: UInt128 = 0x2001_0db8 << 96 | UInt128(chance.below(1 << 10)) << 64
        addresses.append(ClientAddress(bits: network | UInt128(chance.next())))
      }
    }
    return addresses
  }

  /// Small limits as often as large ones.
  private static func settings(_ chance: inout Chance, isCalm: Bool) -> RelayConfiguration {
    var settings = RelayConfiguration(listeners: [], backend: .unix(path: "/simulated"))
    settings.shards = chance.pick([1, 1, 2, 2, 3, 4])
    settings.firehoseCore = chance.oneIn(2) ? .own : .shared
    // Where roles begin. They move in either case, see ``Operator``.
    settings.threads = settings.firehoseCore == .own ? .fixed(settings.shards) : .upTo(settings.shards)
    settings.handshakeWorkers = chance.between(1, 2)
    settings.eventLevel = .debug
    settings.maxPacketSize = chance.magnitude(64, 200_000)
    settings.announce = !chance.oneIn(4)
    settings.protection.limitsLoopback = chance.oneIn(4)
    guard !isCalm else {
      // Nobody may be refused or ended.
      settings.protection.acceptRatePerAddress = nil
      settings.protection.maxPendingHandshakesPerAddress = nil
      settings.missedPacketsBuffer = 8 << 20
      return settings
    }
    func maybe<Value>(_ value: Value) -> Value? { chance.oneIn(3) ? nil : value }
    func seconds(_ least: Int, _ most: Int) -> Duration { .milliseconds(chance.magnitude(least, most)) }
    settings.clientSendBuffer = chance.magnitude(256, 8 << 20)
    settings.clientReceiveBuffer = chance.magnitude(4096, 1 << 20)
    settings.packetTimeout = maybe(seconds(20, 30_000))
    settings.assemblyBudget = max(settings.maxPacketSize, chance.magnitude(1024, 64 << 20))
    settings.staleTimeout = chance.oneIn(6) ? .zero : seconds(50, 300_000)
    settings.maxStaleClients = chance.oneIn(2) ? 65_535 : chance.below(8)
    settings.missedPacketsBuffer = chance.oneIn(8) ? 0 : chance.magnitude(64, 4 << 20)
    settings.missedPacketsTotal = max(settings.maxPacketSize + Wire.sizePrefix, chance.magnitude(1024, 64 << 20))
    settings.halfCloseTimeout = chance.oneIn(8) ? .zero : seconds(20, 10_000)
    settings.keepalive = .seconds(chance.oneIn(4) ? 0 : chance.between(1, 30))
    settings.tcpUserTimeout = chance.oneIn(4) ? .zero : seconds(500, 60_000)
    settings.backendTimeout = seconds(1000, 30_000)
    settings.backendLoss = chance.oneIn(5) ? .drop : .hold
    if settings.backendLoss == .hold, chance.oneIn(5) { settings.backendLossTimeout = seconds(100, 20_000) }
    settings.shutdownTimeout = seconds(100, 5000)
    if chance.oneIn(2) { protect(&settings.protection, &chance) }
    settings.protection.slowClientTimeout = maybe(seconds(200, 20_000))
    settings.protection.handshakeTimeout = maybe(seconds(200, 10_000))
    settings.protection.memoryBudget = chance.magnitude(1 << 20, 1 << 28)
    settings.protection.rejection = chance.pick(Rejection.allCases)
    return settings
  }

  private static func protect(_ protection: inout ProtectionConfiguration, _ chance: inout Chance) {
    func maybe<Value>(_ value: Value) -> Value? { chance.oneIn(2) ? nil : value }
    func rate(_ least: Int, _ most: Int) -> Rate {
      let count = chance.magnitude(least, most)
      return Rate(count, per: chance.oneIn(2) ? .second : .minute, burst: chance.magnitude(1, 2 * count))
    }
    protection.maxClients = maybe(chance.magnitude(2, 64))
    protection.maxClientsPerAddress = maybe(chance.magnitude(1, 16))
    protection.maxClientsPerPrefix = maybe(chance.magnitude(2, 32))
    protection.acceptRate = maybe(rate(5, 1000))
    protection.acceptRatePerAddress = maybe(rate(2, 200))
    protection.maxPendingHandshakes = maybe(chance.magnitude(1, 16))
    protection.maxPendingHandshakesPerAddress = maybe(chance.magnitude(1, 8))
    protection.banAfter = maybe(rate(1, 30))
    protection.banTime = .milliseconds(chance.magnitude(1000, 300_000))
    protection.reconnectFailures = maybe(rate(1, 10))
    protection.reconnectFailuresPerAddress = maybe(rate(1, 20))
    protection.clientPacketRate = maybe(rate(5, 2000))
    protection.clientByteRate = maybe(rate(500, 1_000_000))
    protection.ratePolicy = chance.oneIn(3) ? .end : .pause
    protection.idleTimeout = maybe(.milliseconds(chance.magnitude(1000, 60_000)))
  }
}

/// How a client behaves for a while.
enum Mood: CaseIterable {
  case honest
  /// Sends everything in as few pieces as possible: version, key and data; response, ping and data.
  case pipelining
  /// Reads a little at a time.
  case slow
  /// Reads nothing.
  case deaf
  /// Reads one packet, and comes back on another connection.
  case sipping
  /// Connects and says nothing.
  case silent
  case flooding
  /// Declares a size above the limit.
  case oversize
  /// Begins packets that it does not finish.
  case unfinished
  /// Sends nonsense in the handshake.
  case malformed
  /// Answers a challenge with the answer to an earlier one.
  case replaying
  /// Sends the challenge back.
  case echoingChallenge
  /// Answers a challenge with random bytes.
  case wrong
  /// Begins to come back, as itself and as others, and does not continue.
  case parking
  /// Asks for sessions that do not exist.
  case guessing
  /// Sends a FIN somewhere within what it sends.
  case finishing
  /// Leaves and comes back.
  case restless
}
#endif
