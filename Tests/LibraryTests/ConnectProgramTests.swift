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
    let (program, peer, relay) = try await start("--wait", "inf")
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
    let (program, peer, _) = try await start("--raw", "--wait", "inf")
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
    let (program, peer, _) = try await start()
    try await peer.write([4, 0])
    try await peer.finish()
    let (status, _, errors) = try await program.end()
    #expect(status == 74)
    #expect(errors.hasSuffix("voltlane-connect: the connection to the relay was lost: it ended within a packet\n"))
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
    ["127.0.0.1:1", "--max-packet-size", "9999999999"],
  ])
  func wrongUsage(arguments: [String]) async throws {
    #expect(try await Program("voltlane-connect", arguments).end().status == 64)
  }
}
