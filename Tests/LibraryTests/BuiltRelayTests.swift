import Foundation
import NIOCore
import Testing
import VoltlaneNIO
import VoltlaneText

@testable import VoltlaneBackend
@testable import VoltlaneClient

/// Both libraries with the relay as it is built: backend, relay, a cable that can be cut, client.
@Suite(.timeLimit(.minutes(10))) struct BuiltRelayTests {
  @Test func missedPacketsThenLiveDataAndAKick() async throws {
    let line = try await Line.start()
    defer { line.stop() }
    var events = Events(line.backend)
    let time = TestPacing()
    let client = try await line.connect(time.pacing)
    let id = client.clientID
    try await client.send([1])
    #expect(await connected(&events) == 1)
    #expect(await events.next() == .data(clientID: id, ByteBuffer(bytes: [1])))

    time.hold()
    await line.cable.cut()
    while client.state == .connected { await Task.yield() }
    for number in UInt8(1)...3 { try await line.backend.send([number], to: id) }
    try await client.send([2])
    time.release()
    #expect(await events.next() == .reconnection(clientID: id))
    #expect(await events.next() == .data(clientID: id, ByteBuffer(bytes: [2])))
    try await line.backend.send([4], to: id)
    var packets = client.packets.makeAsyncIterator()
    for number in UInt8(1)...4 { #expect(try await packets.next() == ByteBuffer(bytes: [number])) }

    try await line.backend.send([5], to: id)
    try await line.backend.kick(id)
    #expect(try await packets.next() == ByteBuffer(bytes: [5]))
    // The relay closes, the client asks, and the relay says that the session is over.
    await #expect(throws: ClientError.sessionOver) { try await packets.next() }
    #expect(client.state == .over(.failed(.sessionOver)))
    #expect(await events.next() == .failure(clientID: id, reason: "kicked"))
    await line.backend.stop()
  }

  @Test func aSessionIsResumedAndOverAfterAKick() async throws {
    let line = try await Line.start()
    defer { line.stop() }
    var events = Events(line.backend)
    let first = try await line.connect()
    try await first.send([1])
    #expect(await connected(&events) == 1)
    #expect(await events.next() == .data(clientID: first.clientID, ByteBuffer(bytes: [1])))
    let session = first.session
    await first.close()

    let second = try await Client.resume(session, to: line.cable.endpoint, options: persistent)
    #expect(second.clientID == session.clientID)
    #expect(await events.next() == .reconnection(clientID: session.clientID))
    await second.close()
    try await line.backend.kick(session.clientID)
    #expect(await events.next() == .failure(clientID: session.clientID, reason: "kicked"))
    await #expect(throws: ClientError.sessionOver) {
      try await Client.resume(session, to: line.cable.endpoint, options: persistent)
    }
    await line.backend.stop()
  }

  /// Two clients with one session take it from each other; both notice and say so, and come back ever more rarely.
  @Test func twoClientsWithOneSession() async throws {
    let line = try await Line.start()
    defer { line.stop() }
    let time = TestPacing()
    let first = try await line.connect(time.pacing)
    let states = first.states
    let second = try await Client.resume(
      first.session, to: line.cable.endpoint, options: persistent, pacing: TestPacing().pacing)
    for await state in states {
      if case .reconnecting(1, .sessionShared) = state { break }
    }
    // The delays of ordinary losses, then ever longer ones.
    await time.sleep(ofAtLeast: .seconds(20))
    let shared = time.sleeps.filter { $0 >= .seconds(10) }
    #expect(shared.first == .seconds(10))
    await second.close()
    await first.close()
    await line.backend.stop()
  }

  /// Another secret key is refused, and the owner gets in after it.
  @Test func anotherKeyIsRefused() async throws {
    let line = try await Line.start()
    defer { line.stop() }
    let owner = try await line.connect()
    let thief = try await line.connect()
    var session = owner.session
    session.secretKey = thief.session.secretKey
    await owner.close()
    await #expect(throws: ClientError.invalidChallenge) {
      try await Client.resume(session, to: line.cable.endpoint, options: persistent)
    }
    let back = try await Client.resume(owner.session, to: line.cable.endpoint, options: persistent)
    #expect(back.clientID == owner.clientID)
    await back.close()
    await thief.close()
    await line.backend.stop()
  }

  /// A relay that starts anew has another key, unless it keeps it; its old sessions are over either way, whether the
  /// connection had been lost before or is closed by the relay.
  @Test(arguments: [true, false], [true, false])
  func theRelayStartsAnew(keepsItsKey: Bool, losesTheConnection: Bool) async throws {
    let file = "/tmp/voltlane-identity-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let line = try await Line.start(keepsItsKey ? ["--identity", file] : [])
    defer { line.stop() }
    let time = TestPacing()
    time.hold()
    let client = try await line.connect(time.pacing)
    if losesTheConnection {
      await line.cable.cut()
      while client.state == .connected { await Task.yield() }
    }
    let next = try await line.startAnew(keepsItsKey ? ["--identity", file] : [])
    defer { next.terminate() }
    time.release()
    let error = await collect(client.packets).error
    switch error {
    case .sessionOver: #expect(keepsItsKey)
    case .wrongRelayKey(let expected, _): #expect(!keepsItsKey && expected == client.relayPublicKey)
    default: Issue.record("\(String(describing: error))")
    }
    await line.backend.stop()
  }

  @Test func aNewBackendHearsWhoIsThere() async throws {
    let line = try await Line.start()
    defer { line.stop() }
    var events = Events(line.backend)
    #expect(await connected(&events) == 1)
    let clients = [try await line.connect(), try await line.connect()]
    for client in clients { try await client.send([1]) }
    for _ in clients { _ = await events.next() }
    let address = line.backend.address
    await line.backend.stop()
    let backend = try await Backend.listen(on: address)
    var rest = backend.events.makeAsyncIterator()
    guard case .connected(let firehose) = await rest.next() else { throw BackendError.notConnected }
    var named: Set<UInt64> = []
    for _ in clients { if case .reconnection(let id) = await rest.next() { named.insert(id) } }
    #expect(named == Set(clients.map(\.clientID)))
    try await clients[0].send([2])
    #expect(await rest.next() == .announced(firehose))
    #expect(await rest.next() == .data(clientID: clients[0].clientID, ByteBuffer(bytes: [2])))
    try await backend.send([3], to: clients[1].clientID)
    var packets = clients[1].packets.makeAsyncIterator()
    #expect(try await packets.next() == ByteBuffer(bytes: [3]))
    for client in clients { await client.close() }
    await backend.stop()
  }

  /// A client that sends more than all buffers on the way hold, and reads all the while, gets everything back: whatever
  /// is under way when it falls behind has room in what may wait for it.
  @Test func threeHundredEchoesOfAMebibyte() async throws {
    let echo = try await EchoBackend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    let (relay, endpoint) = try await Line.startRelay(echo.address, [])
    defer { relay.terminate() }
    let client = try await Client.connect(to: endpoint, options: persistent)
    let packet = ByteBuffer(bytes: pattern(1 << 20))
    let sending = Task { for _ in 0..<300 { try await client.send(packet) } }
    var packets = client.packets.makeAsyncIterator()
    for _ in 0..<300 { try #require(try await packets.next() == packet) }
    try await sending.value
    await client.close()
    await echo.stop()
  }

  /// Numbered packets both ways while the cable is cut at random: what comes is in order, and nothing comes twice.
  @Test func cutAtRandom() async throws {
    let line = try await Line.start(["--missed-packets-buffer", "64MiB"])
    defer { line.stop() }
    let seed = UInt64.random(in: 0 ... .max)
    print("cutAtRandom: seed \(seed)")
    var random = SeededGenerator(seed)
    let cuts = (0..<20).map { _ in Int.random(in: 0..<30, using: &random) }
    let client = try await line.connect(Pacing(now: { .now }, sleep: { _ in await Task.yield() }, fraction: { 0 }))
    let last = UInt32.max

    let echoing = Task {
      var highest: UInt32?
      for await event in line.backend.events {
        guard case .data(let id, let packet) = event else { continue }
        let number = packet.getInteger(at: packet.readerIndex, as: UInt32.self) ?? 0
        #expect(highest.map { number > $0 } ?? true)
        highest = number
        try await line.backend.send(packet, to: id)
        if number == last { break }
      }
    }
    let sending = Task {
      for number in UInt32(0)..<20_000 {
        var packet = ByteBuffer(integer: number)
        packet.writeBytes(pattern(number.isMultiple(of: 50) ? 6000 : 20))
        try await client.send(packet)
        if number.isMultiple(of: 100) { try await Task.sleep(for: .milliseconds(2)) }
      }
    }
    let cutting = Task {
      for cut in cuts {
        try await Task.sleep(for: .milliseconds(cut))
        await line.cable.cut()
      }
    }
    let receiving = Task {
      var highest: UInt32?
      var count = 0
      for try await packet in client.packets {
        let number = packet.getInteger(at: packet.readerIndex, as: UInt32.self) ?? 0
        #expect(highest.map { number > $0 } ?? true)
        highest = number
        count += 1
        if number == last { break }
      }
      return count
    }
    try await sending.value
    try await cutting.value
    // After the last cut nothing is lost any more, once a packet has come.
    while client.state != .reconnected { await Task.yield() }
    try await client.send(ByteBuffer(integer: last))
    #expect(try await receiving.value > 1)
    try await echoing.value
    await client.close()
    await line.backend.stop()
  }
}

/// Backend, relay and cable.
private struct Line {
  let backend: Backend
  let relay: Program
  let cable: Cable

  static func start(_ arguments: [String] = []) async throws -> Line {
    let backend = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    let (relay, endpoint) = try await startRelay(backend.address, arguments)
    return Line(backend: backend, relay: relay, cable: try await Cable.start(to: endpoint))
  }

  func connect(_ pacing: Pacing = .real) async throws -> Client {
    try await Client.connect(to: cable.endpoint, options: persistent, pacing: pacing)
  }

  /// Ends the relay and starts another one.
  func startAnew(_ arguments: [String]) async throws -> Program {
    relay.terminate()
    _ = try await relay.end()
    let (next, endpoint) = try await Self.startRelay(backend.address, arguments)
    cable.move(to: endpoint)
    return next
  }

  func stop() {
    relay.terminate()
  }

  /// Over TCP: a unix socket has no reset.
  static func startRelay(_ backend: Endpoint, _ arguments: [String]) async throws -> (Program, Endpoint) {
    let relay = try Program(
      "voltlane", ["--listen", "127.0.0.1:0", "--backend", "\(backend)", "--shards", "2"] + arguments)
    while true {
      let line = try await relay.firstError()
      guard line.contains("listening on ") else { continue }
      return (relay, try Endpoint(String(line.split(separator: " ").last ?? "")))
    }
  }
}

/// Numbers that a seed determines (splitmix64).
private struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
