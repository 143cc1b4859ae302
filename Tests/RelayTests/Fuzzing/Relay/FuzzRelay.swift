import VoltlaneWire

@testable import Relay

/// A whole relay, its clients and its backend, on a simulated network, played by the fuzzer's bytes.
///
/// Checked besides what traps by itself: the relay comes to rest; what it counts of memory is what it holds, and
/// nothing in the end; the backend gets well-formed packets of clients that there are, once an end of each and nothing
/// behind it; and the relay ends in order.
struct FuzzRelay {
  let scene: SessionScene
  var simulation: Simulation { scene.simulation }
  let machine: FuzzMachine
  let shards: Int
  var clients: [SimulatedClient] = []
  var ids: [UInt64] = []
  var attempts: [(client: Int, attempt: SessionScene.Attempt)] = []
  var current = 0
  /// Clients whose id is among those.
  var known: Set<Int> = []

  /// The relay is as the first bytes say.
  init(_ script: inout FuzzScript) {
    let options = script.byte()
    let limits = script.byte()
    shards = options & 1 == 0 ? 1 : 2
    let seed = UInt64(script.byte())
    var configured: RelayConfiguration?
    let scene = try? SessionScene(seed: seed, shards: shards, firehoseCore: options & 2 == 0 ? .shared : .own) {
      if limits & 1 != 0 {
        $0.maxPacketSize = 64
        $0.clientSendBuffer = 200
        $0.missedPacketsBuffer = 100
        $0.missedPacketsTotal = 400
        $0.assemblyBudget = 1024
      }
      if limits & 2 != 0 {
        $0.maxStaleClients = 2
        $0.staleTimeout = .seconds(1)
        $0.protection.maxClients = 4
        $0.protection.maxPendingHandshakes = 2
        $0.protection.maxClientsPerAddress = 3
      }
      if limits & 4 != 0 {
        $0.protection.clientPacketRate = Rate(2, per: .second)
        $0.protection.clientByteRate = Rate(100, per: .second)
        $0.protection.ratePolicy = limits & 8 != 0 ? .end : .pause
        $0.protection.idleTimeout = .seconds(2)
        $0.protection.slowClientTimeout = .milliseconds(200)
        $0.packetTimeout = .milliseconds(300)
      }
      if limits & 16 != 0 { $0.protection.memoryBudget = 1 << 20 }
      if limits & 32 != 0, let network = try? Network("127.0.0.0/8") { $0.protection.proxies = [network] }
      if limits & 64 != 0 { $0.protection.rejection = limits & 128 != 0 ? .silent : .reset }
      if options & 4 != 0 { $0.backendLoss = .drop }
      if options & 8 != 0 { $0.backendLossTimeout = .seconds(1) }
      if options & 16 != 0 { $0.announce = false }
      if options & 32 != 0 { $0.eventLevel = .debug }
      if options & 128 != 0 {
        $0.tellsAddresses = true
        $0.tellsAway = true
        $0.keepalive = .seconds(2)
        $0.tcpUserTimeout = .seconds(60)
        $0.backendTimeout = .seconds(3)
      }
      configured = $0
    }
    guard let scene, let configured else { preconditionFailure("the relay does not start") }
    self.scene = scene
    machine = FuzzMachine(scene.simulation, configured)
    scene.simulation.keepsTrace = false
    if options & 64 != 0 { scene.simulation.roughness = 0 }
  }

  /// Steps of one input, at most: more is more of the same.
  static let mostSteps = 200

  static func runClients(_ bytes: [UInt8]) {
    var script = FuzzScript(bytes)
    var relay = FuzzRelay(&script)
    for _ in 0..<mostSteps where !script.isOver { relay.clientStep(&script) }
    relay.end()
  }

  static func runBackend(_ bytes: [UInt8]) {
    var script = FuzzScript(bytes)
    var relay = FuzzRelay(&script)
    for _ in 0..<2 {
      relay.connect(&script)
      relay.write(SimulatedClient.hello)
      relay.settle()
    }
    for _ in 0..<mostSteps where !script.isOver { relay.backendStep(&script) }
    relay.end()
  }

  // MARK: Clients

  mutating func clientStep(_ script: inout FuzzScript) {
    guard !clients.isEmpty else { return connect(&script) }
    let step = script.byte()
    // The upper bit says that the relay comes to rest behind it.
    switch (step & 127) % 20 {
    case 0: connect(&script)
    case 1: write(SimulatedClient.hello)
    case 2: write(script.piece())
    case 3: write(SimulatedClient.packet(filler(script.byte(), count: script.below(256))))
    case 4: simulation.finish(socket)
    case 5: simulation.close(socket)
    case 6: simulation.reset(socket)
    case 7: beginReconnection(&script)
    case 8: finishReconnection(&script)
    case 9: current = script.below(clients.count)
    case 10: pass(&script)
    case 11: toClient(script.byte(), filler(step, count: script.below(256)), .data)
    case 12: toClient(script.byte(), [], .kick)
    case 13: setRoom(&script)
    case 14: setUnacknowledged(&script)
    case 15: write(unfinished(&script))
    case 16: backendStep(&script)
    case 17: toClient(script.byte(), filler(step, count: 256 * Int(script.byte())), .data)
    case 18: write(FramedHandshakePacket.ping.bytes)
    case 19 where step & 127 >= 40: unusualStep(&script)
    default: settle()
    }
    if step & 128 != 0 { settle() }
  }

  /// What clients and load balancers rarely do, and what else happens.
  mutating func unusualStep(_ script: inout FuzzScript) {
    let choice = script.byte()
    switch choice % 8 {
    case 0: write(FuzzAddresses.header(&script))
    case 1: socket.isLocal = choice & 8 != 0
    case 2:
      // Enough for a turn in which many get something.
      for number in 0..<12 {
        connect(UInt8(number << 4 | 8 | number & 1))
        write(SimulatedClient.hello)
      }
    // One that crosses beside the lane.
    case 3: write(SimulatedClient.packet(filler(choice, count: 150_000 + Int(choice))))
    case 4: setBackendUnacknowledged(&script)
    default:
      learnIDs()
      machine.step(&script, ids: ids)
    }
  }

  var socket: SimulatedSocket { clients[current].socket }

  mutating func connect(_ script: inout FuzzScript) { connect(script.byte()) }

  private mutating func connect(_ choice: UInt8) {
    // A few addresses, one of them a load balancer's.
    let address = choice & 8 == 0 ? ClientAddress(v4: 0x7f00_0001) : FuzzAddresses.address(choice >> 4)
    guard clients.count < 24, simulation.accepts(shard: Int(choice) % shards) else { return }
    clients.append(SimulatedClient(simulation.connect(shard: Int(choice) % shards, address: address)))
    current = clients.count - 1
    if choice & 4 != 0 { write(Array("PROXY TCP4 192.0.2.\(choice >> 4) 192.0.2.1 1 1\r\n".utf8)) }
  }

  func write(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, !socket.peerFinished, !socket.peerReset else { return }
    simulation.write(bytes, to: socket)
  }

  func filler(_ first: UInt8, count: Int) -> [UInt8] {
    (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
  }

  /// The start of a packet, or of one that is too large.
  func unfinished(_ script: inout FuzzScript) -> [UInt8] {
    let size = Int(script.byte()) << (2 * script.below(12))
    return Wire.sizePrefixBytes(size) + filler(1, count: min(size, 64 * script.below(256)))
  }

  mutating func beginReconnection(_ script: inout FuzzScript) {
    learnIDs()
    let id = ids.isEmpty ? 1 : ids[script.below(ids.count)]
    write(FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(id).bytes)
    settle()
    let attempt = SessionScene.Attempt(clients[current], id)
    while let packet = attempt.client.next() {
      guard case .challenge(let place)? = try? HandshakePacket.decode(packet.span.bytes) else { continue }
      attempt.challenge = Array(packet[place])
    }
    if attempt.challenge != nil { attempts.append((current, attempt)) }
  }

  /// The right answer to a challenge, on the connection that got it or on another, with or without the ping.
  mutating func finishReconnection(_ script: inout FuzzScript) {
    guard !attempts.isEmpty else { return }
    let choice = script.byte()
    let (client, attempt) = attempts[Int(choice >> 3) % attempts.count]
    if choice & 1 == 0 { current = client }
    guard let challenge = attempt.challenge else { return }
    let ping = choice & 2 == 0 ? FramedHandshakePacket.ping.bytes : []
    let data = choice & 4 == 0 ? SimulatedClient.packet([choice]) : []
    write(scene.response(to: challenge) + ping + data)
  }

  /// The ids that clients have been told.
  mutating func learnIDs() {
    for index in clients.indices where !known.contains(index) {
      guard let id = clients[index].readHandshake() else { continue }
      known.insert(index)
      ids.append(id)
    }
  }

  func pass(_ script: inout FuzzScript) {
    let times: [UInt64] = [1, 50, 150, 400, 1000, 3000, 12_000, 400_000]
    simulation.pass(times[script.below(times.count)] * Limits.millisecond)
  }

  func setRoom(_ script: inout FuzzScript) {
    let room = script.byte()
    if room == 255 { return simulation.allow(.max, socket) }
    socket.room = 0
    simulation.allow(Int(room) * 3, socket)
  }

  func setUnacknowledged(_ script: inout FuzzScript) {
    socket.unacknowledged = min(Int(script.byte()) * 4, socket.outgoing.count)
    socket.silence = UInt64(script.byte()) * Limits.second
  }

  // MARK: The end

  func settle() { simulation.settle(for: 0) }

  mutating func end() {
    machine.relent()
    settle()
    learnIDs()
    for socket in simulation.backends { simulation.allow(.max, socket) }
    simulation.backendListens = true
    simulation.drain()
    for _ in 0..<60 where !simulation.isFinished {
      simulation.pass(Limits.second)
      // The backend has all of it, and closes.
      for socket in simulation.backends where socket.relayFinished && !socket.peerFinished {
        simulation.finish(socket)
      }
    }
    precondition(simulation.isFinished, "the relay does not end")
    machine.finish()
    checkBackend()
    let parts = simulation.parts
    precondition(parts.budget.charged == 0, "unfinished packets: \(parts.budget.charged) bytes are left")
    precondition(parts.missedBudget.charged == 0, "missed packets: \(parts.missedBudget.charged) bytes are left")
    precondition(parts.memory.waitingBytes == 0, "waiting: \(parts.memory.waitingBytes) bytes are left")
    precondition(parts.memory.leavingBytes == 0, "leaving: \(parts.memory.leavingBytes) bytes are left")
    precondition(parts.staleTotals.count == 0, "\(parts.staleTotals.count) stale sessions are left")
    simulation.end()
  }

  /// What the backends got, one connection after the other.
  func checkBackend() {
    var over: Set<UInt64> = []
    for socket in simulation.backends {
      var backend = SimulatedBackend(socket)
      while let packet = backend.next() {
        // Whoever addresses a session that is over is answered.
        let isAnswer = packet.flag == .failure && packet.data == Array("unknown client".utf8)
        precondition(isAnswer || !over.contains(packet.id), "something comes behind the end of \(packet.id)")
        if packet.flag == .failure, !isAnswer { over.insert(packet.id) }
      }
    }
  }
}
