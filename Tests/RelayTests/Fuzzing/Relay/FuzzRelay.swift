import VoltlaneWire

@testable import Relay

/// A whole relay, its clients and its backend, on a simulated network, played by the fuzzer's bytes.
///
/// Checked besides what traps by itself: the relay comes to rest; what it counts of memory is what it holds, and
/// nothing in the end; the backend gets well-formed packets of clients that there are, once an end of each and nothing
/// behind it; and the relay ends in order.
struct FuzzRelay {
  private let scene: SessionScene
  private var simulation: Simulation { scene.simulation }
  private let shards: Int
  private var clients: [SimulatedClient] = []
  private var ids: [UInt64] = []
  private var attempts: [(client: Int, attempt: SessionScene.Attempt)] = []
  private var current = 0
  /// Clients whose id is among those.
  private var known: Set<Int> = []

  /// The relay is as the first bytes say.
  private init(_ script: inout FuzzScript) {
    let options = script.byte()
    let limits = script.byte()
    shards = options & 1 == 0 ? 1 : 2
    let seed = UInt64(script.byte())
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
    }
    guard let scene else { preconditionFailure("the relay does not start") }
    self.scene = scene
    scene.simulation.keepsTrace = false
    if options & 64 != 0 { scene.simulation.roughness = 0 }
  }

  /// Steps of one input, at most: more is more of the same.
  private static let mostSteps = 200

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

  private mutating func clientStep(_ script: inout FuzzScript) {
    guard !clients.isEmpty else { return connect(&script) }
    let step = script.byte()
    switch step % 20 {
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
    default: settle()
    }
    if step & 128 != 0 { settle() }
  }

  private var socket: SimulatedSocket { clients[current].socket }

  private mutating func connect(_ script: inout FuzzScript) {
    let choice = script.byte()
    // A few addresses, one of them a load balancer's.
    let address = ClientAddress(v4: choice & 8 == 0 ? 0x7f00_0001 : 0x0b00_0000 | UInt32(choice >> 4))
    guard clients.count < 24, simulation.accepts(shard: Int(choice) % shards) else { return }
    clients.append(SimulatedClient(simulation.connect(shard: Int(choice) % shards, address: address)))
    current = clients.count - 1
    if choice & 4 != 0 { write(Array("PROXY TCP4 192.0.2.\(choice >> 4) 192.0.2.1 1 1\r\n".utf8)) }
  }

  private func write(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, !socket.peerFinished, !socket.peerReset else { return }
    simulation.write(bytes, to: socket)
  }

  private func filler(_ first: UInt8, count: Int) -> [UInt8] {
    (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
  }

  /// The start of a packet, or of one that is too large.
  private func unfinished(_ script: inout FuzzScript) -> [UInt8] {
    let size = Int(script.byte()) << (2 * script.below(12))
    return Wire.sizePrefixBytes(size) + filler(1, count: min(size, 64 * script.below(256)))
  }

  private mutating func beginReconnection(_ script: inout FuzzScript) {
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
  private mutating func finishReconnection(_ script: inout FuzzScript) {
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
  private mutating func learnIDs() {
    for index in clients.indices where !known.contains(index) {
      guard let id = clients[index].readHandshake() else { continue }
      known.insert(index)
      ids.append(id)
    }
  }

  private func pass(_ script: inout FuzzScript) {
    let times: [UInt64] = [1, 50, 150, 400, 1000, 3000, 12_000, 400_000]
    simulation.pass(times[script.below(times.count)] * Limits.millisecond)
  }

  private func setRoom(_ script: inout FuzzScript) {
    let room = script.byte()
    if room == 255 { return simulation.allow(.max, socket) }
    socket.room = 0
    simulation.allow(Int(room) * 3, socket)
  }

  private func setUnacknowledged(_ script: inout FuzzScript) {
    socket.unacknowledged = min(Int(script.byte()) * 4, socket.outgoing.count)
    socket.silence = UInt64(script.byte()) * Limits.second
  }

  // MARK: The backend

  private mutating func backendStep(_ script: inout FuzzScript) {
    let step = script.byte()
    switch step % 16 {
    case 0, 1: toRelay(script.piece())
    case 2: toClient(script.byte(), script.piece(), .data)
    case 3: toClient(script.byte(), filler(step, count: 256 * Int(script.byte())), .data)
    case 4: toClient(script.byte(), script.piece(), .kick)
    case 5:
      // Any flag, and an id that is none.
      let id = script.byte()
      toRelay(Wire.sizePrefixBytes(10) + filler(id, count: 8) + [script.byte(), 1])
    case 6: for _ in 0..<script.below(64) { toClient(step, filler(step, count: script.below(8)), .data) }
    case 7: backendSocket.map(simulation.reset)
    case 8: backendSocket.map(simulation.finish)
    case 9: pass(&script)
    case 10: setBackendRoom(&script)
    case 11: simulation.backendListens = script.byte() & 1 == 0
    case 12: toRelay(Wire.sizePrefixBytes(Int(script.byte()) << 20))
    case 13: toMany(&script)
    case 14: toClient(script.byte(), script.piece(), .volatile)
    default: clientStep(&script)
    }
    if step & 128 != 0 { settle() }
  }

  private var backendSocket: SimulatedSocket? { simulation.backends.last.flatMap { $0.relayClosed ? nil : $0 } }

  private func toRelay(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, let socket = backendSocket, !socket.peerFinished, !socket.peerReset else { return }
    simulation.write(bytes, to: socket)
  }

  private mutating func toClient(_ choice: UInt8, _ data: [UInt8], _ flag: SimulatedBackend.Flag) {
    learnIDs()
    guard !ids.isEmpty else { return }
    toRelay(SimulatedBackend.packet(ids[Int(choice) % ids.count], flag, data))
  }

  /// A multicast of either kind to some of the clients and of the ids that nobody has; or one whose kind or list is
  /// odd.
  private mutating func toMany(_ script: inout FuzzScript) {
    learnIDs()
    let choice = script.byte()
    var to: [UInt64] = choice & 1 == 0 ? ids : []
    for _ in 0..<script.below(8) { to.append(ids.isEmpty ? 1 : ids[script.below(ids.count)] ^ UInt64(choice & 2)) }
    var packet = SimulatedBackend.multicast(to, script.piece(), isVolatile: choice & 4 != 0)
    if choice & 0x18 == 0x18 { packet[Wire.taggedHeader + script.below(Multicast.prefix)] = script.byte() }
    toRelay(packet)
  }

  private func setBackendRoom(_ script: inout FuzzScript) {
    guard let socket = backendSocket else { return }
    let room = script.byte()
    if room == 255 { return simulation.allow(.max, socket) }
    socket.room = 0
    simulation.allow(Int(room) * 5, socket)
  }

  // MARK: The end

  private func settle() { simulation.settle(for: 0) }

  private mutating func end() {
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
  private func checkBackend() {
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
