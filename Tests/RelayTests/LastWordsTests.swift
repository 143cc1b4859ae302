import Testing
import VoltlaneWire

@testable import Relay

/// What a client had sent before its FIN reaches the backend, wherever in a handshake the FIN stands, whether the
/// workers answer before it or after, and whether it is a half-close or a close, which answers what the relay sends
/// with a reset.
@Suite struct LastWordsTests {
  enum Ending: CaseIterable {
    case halfClose, close, closeOfUnixSocket
  }

  enum Worker: CaseIterable {
    /// It answers while the client still sends, or only when all has come.
    case early, late
  }

  static let packets: [[UInt8]] = [[1], [], [UInt8](repeating: 3, count: 300), [4, 4]]
  static let data = packets.flatMap(SimulatedClient.packet)

  /// The packets that are whole within the first `count` bytes of `data`.
  private func whole(in count: Int) -> [[UInt8]] {
    var end = 0
    return Self.packets.prefix {
      end += 4 + $0.count
      return end <= count
    }.map { $0 }
  }

  /// Sends the first `count` of `bytes`, the last of them and the FIN in one piece, and lets the relay take it all.
  private func say(
    _ bytes: [UInt8], _ count: Int, cut: Int, on socket: SimulatedSocket, _ ending: Ending, _ worker: Worker,
    _ simulation: Simulation
  ) {
    let cut = min(cut, count)
    simulation.holdWorkers = worker == .late
    if cut > 0 {
      simulation.write(Array(bytes[..<cut]), to: socket)
      simulation.settle()
    }
    // Bytes and FIN as one event: both are there when the poll is heard of.
    socket.incoming += bytes[cut..<count]
    ending == .halfClose ? simulation.finish(socket) : simulation.close(socket)
    simulation.settle()
    simulation.holdWorkers = false
    simulation.settle()
  }

  /// The number of bytes before the FIN: every one around the handshake's packets, some within long data.
  private static func counts(_ handshake: Int) -> [Int] {
    Array(0...(handshake + 20)) + [handshake + 100, handshake + 312, handshake + 313, handshake + data.count]
  }

  @Test(arguments: Ending.allCases, Worker.allCases)
  func ofANewClient(ending: Ending, worker: Worker) throws {
    let hello = SimulatedClient.hello
    let version = FramedHandshakePacket.protocolVersion().byteCount
    for cut in [0, version, hello.count - 1, hello.count, hello.count + 7] {
      let scene = try SessionScene(seed: UInt64(cut), shards: 1) { $0.staleTimeout = .seconds(1) }
      for count in Self.counts(hello.count) {
        let started = scene.simulation[.sessionsStarted]
        let socket = scene.simulation.connect(shard: 0)
        socket.isLocal = ending == .closeOfUnixSocket
        say(hello + Self.data, count, cut: cut, on: socket, ending, worker, scene.simulation)
        for packet in whole(in: count - hello.count) {
          let got = scene.next()
          #expect(got?.data == packet && got?.flag == .data, "\(count) bytes, cut at \(cut)")
        }
        #expect(scene.next() == nil, "\(count) bytes, cut at \(cut)")
        // Its socket is given back in time, and then its session ends.
        scene.simulation.pass(7 * Limits.second)
        #expect(socket.relayClosed, "\(count) bytes, cut at \(cut)")
        #expect(scene.simulation[.sessionsStarted] - started == (count >= hello.count ? 1 : 0))
        #expect((scene.next() != nil) == (count >= hello.count))
      }
    }
  }

  @Test(arguments: Ending.allCases, Worker.allCases)
  func ofAClientThatComesBack(ending: Ending, worker: Worker) throws {
    let handshake = 4 + 2 + 72 + 5
    // Its old socket may still be there; where it is not, it has missed something.
    for (cut, isStale) in [0, 40, 78, handshake, handshake + 7].flatMap({ [($0, true), ($0, false)] }) {
      let scene = try SessionScene(seed: UInt64(cut), shards: 1)
      for count in Self.counts(handshake) {
        let member = scene.join()
        if isStale {
          scene.simulation.reset(member.socket)
          scene.simulation.settle()
          scene.send(member.id, [8, 8])
          scene.send(member.id, [9, 9])
        }
        let attempt = scene.attempt(member.id)
        attempt.socket.isLocal = ending == .closeOfUnixSocket
        let response = scene.response(to: try #require(attempt.challenge)) + FramedHandshakePacket.ping.bytes
        #expect(response.count == handshake)
        say(response + Self.data, count, cut: cut, on: attempt.socket, ending, worker, scene.simulation)
        if count >= handshake {
          #expect(scene.next() == scene.reconnection(member.id), "\(count) bytes, cut at \(cut)")
        }
        for packet in whole(in: count - handshake) {
          #expect(
            scene.next() == .init(id: member.id, flag: .data, data: packet), "\(count) bytes, cut at \(cut)")
        }
        #expect(scene.next() == nil, "\(count) bytes, cut at \(cut)")
        // It can come back again, whatever became of this.
        let back = scene.comeBack(member.id)
        #expect(!back.socket.relayFinished && !back.socket.relayClosed)
        #expect(scene.next() == scene.reconnection(member.id))
      }
    }
  }

  /// The same while the backend takes nothing: the client waits for room, and then its words arrive.
  @Test(arguments: Ending.allCases, Worker.allCases)
  func whileTheUplinkIsFull(ending: Ending, worker: Worker) throws {
    let hello = SimulatedClient.hello
    let scene = try FullUplink()
    let socket = scene.simulation.connect(shard: 0)
    socket.isLocal = ending == .closeOfUnixSocket
    let bytes = hello + Self.data
    say(bytes, bytes.count, cut: 6, on: socket, ending, worker, scene.simulation)
    #expect(scene.simulation[.sessionsStarted] == 3)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var heard: [[UInt8]] = []
    while let packet = scene.next() {
      if packet.id != scene.flooding.id, packet.flag == .data { heard.append(packet.data) }
    }
    #expect(heard == Self.packets)
  }

  /// A client that comes back needs only the room that is kept for its 0x03: it waits neither for the backend nor for a
  /// deadline, of which there may be none.
  @Test(arguments: [Duration.seconds(5), .zero], [FirehoseCore.own, .shared])
  func aClientComesBackWhileTheUplinkIsFull(handshakeTimeout: Duration, core: FirehoseCore) throws {
    let scene = try FullUplink(core) {
      $0.protection.handshakeTimeout = handshakeTimeout == .zero ? nil : handshakeTimeout
    }
    for round in 0..<20 {
      var back = scene.scene.comeBack(scene.member.id)
      #expect(back.client.next() == SessionTests.ping, "round \(round)")
    }
    #expect(scene.simulation[Metric.reconnections] == 20)
  }

  /// A relay whose backend takes nothing, and a client of it that has filled the uplink.
  private final class FullUplink {
    let scene: SessionScene
    let member: SessionScene.Member
    let flooding: SessionScene.Member
    var simulation: Simulation { scene.simulation }
    var backend: SimulatedBackend { scene.backend }
    func next() -> SimulatedBackend.Packet? { scene.next() }

    init(_ core: FirehoseCore = .own, configure: (inout RelayConfiguration) -> Void = { _ in }) throws {
      scene = try SessionScene(shards: 1, firehoseCore: core, configure: configure)
      scene.backend.socket.room = 0
      member = scene.join()
      flooding = scene.join()
      let flood = SimulatedClient.packet([UInt8](repeating: 1, count: 10_000))
      for _ in 0..<200 { scene.simulation.write(flood, to: flooding.socket) }
      scene.simulation.settle()
      #expect(flooding.socket.available > 0)
    }
  }
}
