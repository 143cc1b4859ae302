import Glibc
import NIOCore
import Testing

@testable import VoltlaneClient

/// The network loses every packet and says nothing.
@Suite(.timeLimit(.minutes(10))) struct DeadNetworkTests {
  /// What was sent is not acknowledged.
  @Test func whileItSends() async throws {
    try await noticesAndComesBack(
      ClientOptions(
        connectTimeout: .seconds(60), keepAlive: nil, userTimeout: .milliseconds(300))
    ) { client in try await client.send([1]) }
  }

  /// Nothing is sent: the kernel asks by itself.
  @Test func whileItOnlyReceives() async throws {
    try await noticesAndComesBack(
      ClientOptions(connectTimeout: .seconds(60), keepAlive: .seconds(1), userTimeout: nil)
    ) { _ in }
  }

  /// A heartbeat is data that nobody acknowledges.
  @Test func byAHeartbeat() async throws {
    try await noticesAndComesBack(
      ClientOptions(
        connectTimeout: .seconds(60), keepAlive: nil, userTimeout: .milliseconds(300),
        heartbeat: .init(packet: [7], interval: .milliseconds(20)))
    ) { _ in }
  }

  private func noticesAndComesBack(
    _ options: ClientOptions, _ use: (Client) async throws -> Void
  ) async throws {
    let relay = try await FakeRelay.start()
    let (client, peer, key) = try await relay.connect(options, pacing: TestPacing().pacing)
    let states = client.states
    try await peer.loseEverything()
    try await use(client)
    for await state in states {
      guard case .reconnecting(let attempt, let cause) = state else { continue }
      #expect(attempt == 1 && cause == .connectionLost(reason: "timed out"))
      break
    }
    let back = try await relay.takeBack(key)
    try await back.write(framed([5]))
    var packets = client.packets.makeAsyncIterator()
    #expect(try await packets.next() == ByteBuffer(bytes: [5]))
    await client.close()
    await peer.close()
  }

  /// Proxies in between acknowledge; only an answer shows that somebody is there.
  @Test func aHeartbeatWithoutAnAnswer() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.heartbeat = .init(packet: [7, 7], interval: .milliseconds(20), answerWithin: .seconds(30))
    let (client, peer, key) = try await relay.connect(options, pacing: TestPacing().pacing)
    // Anything is an answer.
    for _ in 0..<3 {
      #expect(await peer.readPacket() == [7, 7])
      try await peer.write(framed([1]))
    }
    #expect(client.state == .connected)
    await client.close()

    options.heartbeat?.answerWithin = .milliseconds(50)
    let (other, deaf, otherKey) = try await relay.connect(options, pacing: TestPacing().pacing)
    for await state in other.states {
      guard case .reconnecting(_, .connectionLost(let reason)) = state else { continue }
      #expect(reason == "nothing came for 0.05 seconds after a heartbeat")
      break
    }
    let back = try await relay.takeBack(otherKey)
    #expect(await back.readPacket() == [7, 7])
    await other.close()
    await deaf.close()
    _ = key
  }

  @Test func whenAHeartbeatIsDue() {
    func at(_ milliseconds: UInt64) -> NIODeadline { .uptimeNanoseconds(milliseconds * 1_000_000) }
    let heartbeat = ClientOptions.Heartbeat(
      packet: [], interval: .milliseconds(100), answerWithin: .milliseconds(250))
    var pulse = Pulse(heartbeat, now: at(0))
    #expect(pulse.next == at(100))
    #expect(pulse.step(at(99)) == .wait)
    #expect(pulse.step(at(100)) == .send)
    // Again, until it has been silent for too long after the first.
    #expect(pulse.next == at(200))
    #expect(pulse.step(at(150)) == .wait)
    #expect(pulse.step(at(200)) == .send)
    #expect(pulse.step(at(300)) == .send)
    #expect(pulse.next == at(350))
    var heard = pulse
    heard.heard(at(340))
    #expect(heard.step(at(350)) == .wait)
    #expect(heard.next == at(440))
    #expect(pulse.step(at(350)) == .dead)
    var unanswered = Pulse(.init(packet: [], interval: .milliseconds(100)), now: at(0))
    for time in stride(from: UInt64(100), to: 5000, by: 100) { #expect(unanswered.step(at(time)) == .send) }
  }

  @Test func aNewConnectionAtOnce() async throws {
    let relay = try await FakeRelay.start()
    let time = TestPacing()
    let (client, peer, key) = try await relay.connect(persistent, pacing: time.pacing)
    client.reconnectNow()
    let second = try await relay.takeBack(key)
    #expect(time.sleeps == [])
    #expect(await peer.readToEnd() == [])
    while client.state != .reconnected { await Task.yield() }

    // Within a delay: it ends.
    time.hold()
    try await second.reset()
    while time.sleeps.isEmpty { await Task.yield() }
    client.reconnectNow()
    _ = try await relay.takeBack(key)
    while client.state != .reconnected { await Task.yield() }
    #expect(time.sleeps.count == 1)

    // Within an attempt that hangs.
    client.reconnectNow()
    let hung = await relay.listener.accept()
    _ = await hung.readPacket()
    client.reconnectNow()
    _ = try await relay.takeBack(key)
    while client.state != .reconnected { await Task.yield() }
    #expect(time.sleeps.count == 1)
    await client.close()
    client.reconnectNow()
    #expect(client.state == .over(.closed))
  }
}

/// A program for the kernel's packet filter: `sock_fprog`, with one instruction that drops everything.
private struct Filter: @unchecked Sendable {
  var count: UInt16 = 1
  var instructions: UnsafeMutablePointer<(UInt16, UInt8, UInt8, UInt32)>
}

extension BytePeer {
  /// From now on the kernel drops every packet that comes for this socket, before TCP sees it: nothing is acknowledged.
  fileprivate func loseEverything() async throws {
    guard let socket = channel as? any SocketOptionProvider else { throw ChannelError.operationUnsupported }
    // BPF_RET | BPF_K, 0 bytes.
    let instructions = UnsafeMutablePointer<(UInt16, UInt8, UInt8, UInt32)>.allocate(capacity: 1)
    instructions.initialize(to: (6, 0, 0, 0))
    defer { instructions.deallocate() }
    let filter = Filter(instructions: instructions)
    try await socket.unsafeSetSocketOption(
      level: .socket, name: .init(rawValue: SO_ATTACH_FILTER), value: filter
    ).get()
  }
}
