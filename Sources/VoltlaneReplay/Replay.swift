import VoltlaneCrypto

/// One shard and the firehose on one thread, fed as fast as they take it, without sockets: what is left is the relay's
/// own work, and callgrind counts its instructions (tools/check-instructions). Only within one module can the data
/// plane be specialised and inlined for another kernel as it is in the relay, so this program compiles the relay's
/// sources into a module of its own: the folder `Relay` here is a link to them.
struct Replay {
  enum Direction: String {
    case up, down
  }

  /// Which limits hold for the clients.
  enum Protection: String {
    /// None that can be turned off.
    case off
    /// Those that hold where nothing is set.
    case standard
    /// These, and those that are off where nothing is set: rates and a time to be silent for. Nobody is over them.
    case on
  }

  var direction: Direction
  var protection = Protection.standard
  var clients: Int
  /// Bytes of data of each packet.
  var size: Int
  /// Packets that one receive finds: of each client's socket on the way up, of the backend's on the way down, where
  /// they are for each client in turn.
  var packetsPerReceive: Int
  /// Packets in all; a multiple of those of a turn.
  var packets: Int

  init(_ direction: Direction, clients: Int, size: Int, packetsPerReceive: Int, packets: Int) {
    self.direction = direction
    self.clients = clients
    self.size = size
    self.packetsPerReceive = packetsPerReceive
    self.packets = packets
  }

  /// Connects the clients, by the true handshake, and moves the packets. Returns the bytes that came out at the other
  /// end, which is what went in, tagged or untagged, when all is well.
  func run() -> Int {
    let configuration = configuration
    let arena = Arena()
    let control = ControlBlock(arena, signal: -1)
    let placement = Placement(configuration)
    do {
      let parts = try makeParts(configuration, placement, arena, control)
      // The worker joins the others on this thread.
      let workers = placement.hosts.indices.filter { placement.hosts[$0].worker != nil }.map(parts.host)
      var host = Host(
        kernel: ReplayKernel(self), parts: parts.host(0), others: workers, wakeSignal: -1, control: control)
      host.start()
      while !host.kernel.isDone() {
        host.turn()
        host.sleep()
      }
      return host.kernel.bytesOut()
    } catch {
      fatalError("the replay cannot start: \(error)")
    }
  }

  /// Connects the clients, and has their shard go from one host to the other and back, `count` times in all.
  func move(_ count: Int) -> UInt64 {
    var configuration = configuration
    configuration.threads = .upTo(2)
    configuration.firehoseCore = .moving
    let arena = Arena()
    let control = ControlBlock(arena, signal: -1)
    let placement = Placement(configuration)
    do {
      let parts = try makeParts(configuration, placement, arena, control)
      let workers = placement.hosts.indices.filter { placement.hosts[$0].worker != nil }.map(parts.host)
      var first = Host(
        kernel: ReplayKernel(self), parts: parts.host(0), others: workers, wakeSignal: -1, control: control)
      var second = Host(
        kernel: ReplayKernel(self, isSecond: true), parts: parts.host(1), wakeSignal: -1, control: control)
      first.start()
      second.start()
      while !first.kernel.hasConnected() {
        first.turn()
        first.sleep()
      }
      let shard = parts.table.shard(0)
      for number in 0..<count {
        shard.seat.whereabouts.wanted = (number + 1) % 2
        if number % 2 == 0 { first.kernel.call() } else { second.kernel.call() }
        // Until it is there, all its clients are polled, and the old host has cancelled its polls.
        for _ in 0..<(8 + clients / Limits.pollsMovedPerTurn) {
          first.turn()
          first.sleep()
          second.turn()
          second.sleep()
        }
        precondition(shard.seat.whereabouts.host == (number + 1) % 2 && shard.role.nextToPoll == .none)
      }
      return parts.counters.reduce(0) { $0 + $1[.rolesMoved] }
    } catch {
      fatalError("the replay cannot start: \(error)")
    }
  }

  private var configuration: RelayConfiguration {
    var configuration = RelayConfiguration(listeners: [], backend: .unix(path: "/replay"))
    configuration.eventLevel = .error
    setProtection(&configuration)
    return configuration
  }

  private func makeParts(
    _ configuration: RelayConfiguration, _ placement: Placement, _ arena: Arena, _ control: ControlBlock
  ) throws -> RelayParts<ReplayKernel> {
    var secret: UInt64 = 0
    return try RelayParts<ReplayKernel>(
      configuration, try SecretKey.generate(),
      listeners: [[(socket: ReplayScript.listener, isShared: true)]], placement, arena, control,
      random: {
        secret &+= 0x9e37_79b9_7f4a_7c15
        return secret
      }, now: ReplayKernel.start)
  }

  private func setProtection(_ configuration: inout RelayConfiguration) {
    switch protection {
    case .standard: break
    case .off:
      configuration.packetTimeout = nil
      configuration.protection.maxClients = nil
      configuration.protection.maxClientsPerAddress = nil
      configuration.protection.maxClientsPerPrefix = nil
      configuration.protection.acceptRatePerAddress = nil
      configuration.protection.handshakeTimeout = nil
      configuration.protection.maxPendingHandshakes = nil
      configuration.protection.maxPendingHandshakesPerAddress = nil
      configuration.protection.banAfter = nil
      configuration.protection.reconnectFailures = nil
      configuration.protection.reconnectFailuresPerAddress = nil
      configuration.protection.slowClientTimeout = nil
    case .on:
      let all = Rate(Rate.range.upperBound, per: .second)
      configuration.protection.clientPacketRate = all
      configuration.protection.clientByteRate = all
      configuration.protection.acceptRate = all
      configuration.protection.idleTimeout = .seconds(60)
    }
  }
}
