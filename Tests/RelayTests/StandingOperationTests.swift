import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// Polls and accepts go on until they are ended, and the kernel may end them at any time: because it is short of
/// memory, because its queue of completions is full, or for nothing that it tells. They are armed again, and nobody is
/// taken for gone because of it.
@Suite struct StandingOperationTests {
  @Test(arguments: [ENOMEM, ECANCELED, EINTR, EAGAIN, EOVERFLOW, EFAULT, EINVAL, ENOBUFS, EIO], [true, false])
  func `whatever the kernel ends is armed again`(errno: Int32, isTraffic: Bool) throws {
    let scene = try SessionScene(seed: UInt64(errno)) { $0.protection.handshakeTimeout = nil }
    var member = scene.join()
    let halfway = scene.simulation.connect(shard: 0)
    scene.simulation.settle()
    for round in 0..<3 as Range<UInt8> {
      if isTraffic {
        // What has come by then is heard of by nothing but the poll that ends.
        member.socket.incoming += SimulatedClient.packet([round])
        scene.backend.socket.incoming += SimulatedBackend.packet(member.id, .data, [round])
      }
      scene.simulation.endStandingOperations(errno: errno)
      scene.simulation.pass(2 * Limits.second)
      #expect(scene.simulation.accepts(shard: 0) && scene.simulation.accepts(shard: 1))
      #expect(scene.simulation.controlIsWatched.allSatisfy { $0 })
      if !isTraffic {
        scene.simulation.write(SimulatedClient.packet([round]), to: member.socket)
        scene.send(member.id, [round])
        scene.simulation.settle()
      }
      #expect(scene.next() == .init(id: member.id, flag: .data, data: [round]))
      #expect(member.client.next() == [round])
    }
    #expect(scene.simulation[.sessionsEnded] == 0 && scene.simulation[.sessionsGoneStale] == 0)
    #expect(scene.simulation[.backendConnections] == 1)
    // One that had not said anything yet, and one that comes now.
    scene.simulation.write(SimulatedClient.hello, to: halfway)
    scene.simulation.settle()
    var late = SimulatedClient(halfway)
    #expect(late.readHandshake() != nil)
    _ = scene.join(shard: 1)
  }

  /// The same where a client's FIN or reset is what the poll would have told.
  @Test(arguments: [ENOMEM, ECANCELED], [true, false])
  func `a poll that ends hides no end of a client`(errno: Int32, isReset: Bool) throws {
    let scene = try SessionScene(seed: 3) { $0.staleTimeout = .zero }
    let member = scene.join()
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [1])
    if isReset { member.socket.peerReset = true } else { member.socket.peerFinished = true }
    scene.simulation.endStandingOperations(errno: errno)
    scene.simulation.pass(10 * Limits.second)
    #expect(scene.next()?.flag == .failure)
    #expect(member.socket.relayClosed)
  }
}
