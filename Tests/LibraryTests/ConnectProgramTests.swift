import Foundation
import Testing
import VoltlaneNIO

@Suite(.timeLimit(.minutes(1))) struct ConnectProgramTests {
  /// The program and the relay's side of its connection, after the handshake.
  private func start(_ arguments: String...) async throws -> (program: Program, peer: BytePeer, relay: FakeRelay) {
    let relay = try await FakeRelay.start()
    let program = try Program("voltlane-connect", [relay.listener.endpoint.description] + arguments)
    let peer = await relay.listener.accept()
    try await peer.write(relay.greeting)
    _ = await peer.readPacket()
    _ = await peer.readPacket()
    return (program, peer, relay)
  }

  @Test func sendsLinesAndPrintsPackets() async throws {
    let (program, peer, relay) = try await start("--wait", "inf", "--no-reconnect")
    try program.write("hello\n\nlast")
    #expect(await peer.readPacket() == Array("hello".utf8))
    #expect(await peer.readPacket() == [])
    try program.endInput()
    #expect(await peer.readPacket() == Array("last".utf8))
    try await peer.write(framed(Array("one".utf8)) + framed([]) + framed(Array("two\n".utf8)))
    try await peer.finish()
    let (status, output, errors) = try await program.end()
    #expect(status == 0)
    #expect(output == "one\n\ntwo\n\n")
    #expect(errors == "client id \(FakeRelay.clientID)\nrelay key \(relay.key)\n")
  }

  @Test func rawSendsAndPrintsBytesAsTheyAre() async throws {
    let (program, peer, _) = try await start("--raw", "--wait", "inf", "--no-reconnect")
    try program.write("a\nb")
    #expect(await peer.readPacket() == Array("a\nb".utf8))
    try await peer.write(framed(Array("x".utf8)) + framed(Array("y\n".utf8)))
    try await peer.finish()
    let (status, output, _) = try await program.end()
    #expect(status == 0)
    #expect(output == "xy\n")
  }

  @Test func endsByItselfWhenAllIsQuiet() async throws {
    let (program, peer, _) = try await start("--wait", "0.5")
    try program.write("hello\n")
    try program.endInput()
    #expect(await peer.readPacket() == Array("hello".utf8))
    try await peer.write(framed(Array("hello".utf8)))
    // It was not half-closed before it left; the relay keeps its side open.
    #expect(await peer.readToEnd() == [])
    let (status, output, _) = try await program.end()
    #expect(status == 0)
    #expect(output == "hello\n")
  }

  @Test func halfClosesWhenAsked() async throws {
    let (program, peer, _) = try await start("-N", "--wait", "inf")
    try program.write("hello\n")
    try program.endInput()
    // The end comes although the program waits for ever, and packets still go the other way.
    #expect(await peer.readToEnd() == framed(Array("hello".utf8)))
    try await peer.write(framed(Array("late".utf8)))
    try await peer.finish()
    let (status, output, _) = try await program.end()
    #expect(status == 0)
    #expect(output == "late\n")
  }

  @Test func aLineThatIsTooLong() async throws {
    let (program, peer, _) = try await start("--max-packet-size", "5")
    try program.write("12345\n123456\n")
    #expect(await peer.readPacket() == Array("12345".utf8))
    let (status, _, errors) = try await program.end()
    #expect(status == 65)
    #expect(errors.hasSuffix("voltlane-connect: line 2 of stdin is longer than a packet may be (5 bytes)\n"))
  }

  @Test func aLostConnection() async throws {
    let (program, peer, _) = try await start("--no-reconnect")
    try await peer.write([4, 0])
    try await peer.finish()
    let (status, _, errors) = try await program.end()
    #expect(status == 74)
    #expect(errors.hasSuffix("voltlane-connect: the connection to the relay was lost: it ended within a packet\n"))
  }

  @Test func comesBackAndSaysSo() async throws {
    let relay = try await FakeRelay.start()
    let program = try Program("voltlane-connect", [relay.listener.endpoint.description, "-N"])
    let (old, key) = try await relay.greet()
    try await old.write(framed(Array("one".utf8)))
    try program.write("hello\n")
    #expect(await old.readPacket() == Array("hello".utf8))
    try await old.reset()
    let new = try await relay.takeBack(key, behind: framed(Array("two".utf8)))
    try program.write("again\n")
    #expect(await new.readPacket() == Array("again".utf8))
    try program.endInput()
    #expect(await new.readToEnd() == [])
    try await new.finish()
    let (status, output, errors) = try await program.end()
    #expect(status == 0)
    #expect(output == "one\ntwo\n")
    #expect(
      errors.hasSuffix(
        """
        voltlane-connect: the connection to the relay was lost: connection reset; reconnecting
        voltlane-connect: reconnected

        """), "\(errors)")
  }

  @Test func theSessionIsOver() async throws {
    let (program, peer, relay) = try await start()
    try await peer.reset()
    await (try await relay.acceptReturning()).close()
    let (status, _, errors) = try await program.end()
    #expect(status == 74)
    #expect(errors.hasSuffix("voltlane-connect: the relay says that the session is over\n"), "\(errors)")
  }

  /// It has nothing to send and nothing to wait for.
  @Test func leavesWhileTheRelayIsAway() async throws {
    let (program, peer, relay) = try await start("--wait", "0.1")
    await relay.listener.stop()
    await peer.close()
    try program.endInput()
    #expect(try await program.end().status == 0)
  }

  @Test func givesUp() async throws {
    let (program, peer, relay) = try await start("--give-up", "0.1")
    await relay.listener.stop()
    try await peer.reset()
    let (status, _, errors) = try await program.end()
    #expect(status == 69)
    #expect(errors.contains("voltlane-connect: gave up after "), "\(errors)")
  }

  @Test func anotherKeyThanThePinnedOne() async throws {
    let relay = try await FakeRelay.start()
    let other = try await FakeRelay.start()
    let program = try Program(
      "voltlane-connect", [relay.listener.endpoint.description, "--relay-key", "\(other.key)"])
    let peer = await relay.listener.accept()
    try await peer.write(relay.greeting)
    let (status, _, errors) = try await program.end()
    #expect(status == 77)
    #expect(errors == "voltlane-connect: the relay's key is \(relay.key), not \(other.key) as expected\n")
  }

  @Test func aSessionIsSavedResumedAndReplaced() async throws {
    let path = "/tmp/voltlane-connect-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let relay = try await FakeRelay.start()
    let arguments = [relay.listener.endpoint.description, "--session", path, "--wait", "0.1"]

    let first = try Program("voltlane-connect", arguments)
    let (peer, key) = try await relay.greet()
    try first.write("hello\n")
    #expect(await peer.readPacket() == Array("hello".utf8))
    try first.endInput()
    #expect(try await first.end().status == 0)

    let second = try Program("voltlane-connect", arguments)
    let back = try await relay.takeBack(key, behind: framed(Array("kept".utf8)))
    try second.write("again\n")
    #expect(await back.readPacket() == Array("again".utf8))
    try second.endInput()
    let (status, output, errors) = try await second.end()
    #expect(status == 0)
    #expect(output == "kept\n")
    #expect(errors.hasPrefix("client id \(FakeRelay.clientID)\n"))

    let third = try Program("voltlane-connect", arguments)
    await (try await relay.acceptReturning()).close()
    // A new session; the key of the old one was another.
    let (_, newKey) = try await relay.greet()
    try third.endInput()
    #expect(try await third.end().errors.hasPrefix("voltlane-connect: the saved session is over; a new one begins\n"))

    let fourth = try Program("voltlane-connect", arguments)
    _ = try await relay.takeBack(newKey)
    try fourth.endInput()
    #expect(try await fourth.end().status == 0)
  }

  @Test func aSessionFileThatOthersCanRead() async throws {
    let path = "/tmp/voltlane-connect-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o644]))
    let (status, _, errors) = try await Program("voltlane-connect", ["127.0.0.1:1", "--session", path]).end()
    #expect(status == 66)
    #expect(errors.contains("others may read it"))
  }

  @Test func nobodyListens() async throws {
    let listener = try await ByteListener.start()
    await listener.stop()
    let (status, output, errors) = try await Program("voltlane-connect", [listener.endpoint.description]).end()
    #expect(status == 69)
    #expect(output == "")
    #expect(errors == "voltlane-connect: cannot reach \(listener.endpoint): connection refused\n")
  }

  @Test func noRelayAnswers() async throws {
    let listener = try await ByteListener.start()
    let program = try Program("voltlane-connect", [listener.endpoint.description])
    try await listener.accept().write(Array("SSH-2.0-x\r\n".utf8))
    let (status, _, errors) = try await program.end()
    #expect(status == 65)
    #expect(errors.hasPrefix("voltlane-connect: no relay answers there: "))
  }

  @Test(arguments: [
    [], ["nonsense"], ["::1:5"], ["127.0.0.1:1", "--wait", "-1"], ["127.0.0.1:1", "--connect-timeout", "0"],
    ["127.0.0.1:1", "--max-packet-size", "9999999999"], ["127.0.0.1:1", "--relay-key", "02ff"],
    ["127.0.0.1:1", "--give-up", "-1"],
  ])
  func wrongUsage(arguments: [String]) async throws {
    #expect(try await Program("voltlane-connect", arguments).end().status == 64)
  }
}
