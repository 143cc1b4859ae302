import Foundation
import Testing
import VoltlaneNIO
import VoltlaneSettings
import VoltlaneText

@testable import VoltlaneClient
@testable import VoltlaneConnect

@Suite(.timeLimit(.minutes(10))) struct ConnectProgramTests {
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
    #expect(errors == "client id feedfacecafebeef\nrelay key \(relay.key)\n")
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
    let (program, peer, _) = try await start("--wait", "5s")
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
    #expect(
      errors.hasSuffix(
        """
        voltlane-connect: the connection to the relay was lost: it ended within a packet; start again to reconnect

        """), "\(errors)")
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

  /// Whether the connection was lost before, or closed by the relay.
  @Test(arguments: [true, false]) func theSessionIsOver(isOrderly: Bool) async throws {
    let (program, peer, relay) = try await start()
    if isOrderly { try await peer.finish() } else { try await peer.reset() }
    // It asks once more.
    for _ in 0..<2 { await (try await relay.acceptReturning()).close() }
    let (status, _, errors) = try await program.end()
    #expect(status == 74)
    let last = errors.split(separator: "\n").last ?? ""
    #expect(last.hasPrefix("voltlane-connect: the session is over: "), "\(errors)")
    #expect(last.hasSuffix("; start again to begin a new one"), "\(errors)")
  }

  /// It has nothing to send; what it should have received nobody knows.
  @Test func leavesWhileTheRelayIsAway() async throws {
    let (program, peer, relay) = try await start("--wait", "100ms")
    await relay.listener.stop()
    await peer.close()
    try program.endInput()
    let (status, _, errors) = try await program.end()
    #expect(status == 69)
    #expect(errors.contains("voltlane-connect: gave up after 0.1 seconds: "), "\(errors)")
  }

  @Test func givesUp() async throws {
    let (program, peer, relay) = try await start("--give-up", "100ms")
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
    #expect(errors.hasPrefix("voltlane-connect: the relay's key is \(relay.key), not \(other.key) as expected: "))
    #expect(errors.hasSuffix("give the new one with --relay-key\n"), "\(errors)")
  }

  @Test func aSessionIsSavedResumedAndReplaced() async throws {
    let path = try Self.makeFolder() + "/session"
    defer { Self.removeFolder(of: path) }
    let relay = try await FakeRelay.start()
    let arguments = [relay.listener.endpoint.description, "--session", path, "--wait", "100ms"]

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
    #expect(errors.hasPrefix("client id feedfacecafebeef\n"))

    let third = try Program("voltlane-connect", arguments)
    for _ in 0..<2 { await (try await relay.acceptReturning()).close() }
    // A new session; the key of the old one was another.
    let (_, newKey) = try await relay.greet()
    try third.endInput()
    #expect(try await third.end().errors.hasPrefix("voltlane-connect: the saved session is over; starting a new one\n"))

    let fourth = try Program("voltlane-connect", arguments)
    _ = try await relay.takeBack(newKey)
    try fourth.endInput()
    #expect(try await fourth.end().status == 0)
  }

  @Test func twoOfOneSession() async throws {
    let path = try Self.makeFolder() + "/session"
    defer { Self.removeFolder(of: path) }
    let (first, peer, relay) = try await start("--session", path, "--wait", "100ms")
    // Once the first says who it is it has the file, and the lock before that.
    _ = try await first.firstError()
    let second = try await Program(
      "voltlane-connect", [relay.listener.endpoint.description, "--session", path]
    ).end()
    #expect(second.status == 66)
    #expect(second.errors.contains("the session in \(path) is in use by another client; "))
    try first.endInput()
    #expect(await peer.readToEnd() == [])
    #expect(try await first.end().status == 0)
  }

  @Test func aSavedSessionOfAnotherRelay() async throws {
    let path = try Self.makeFolder() + "/session"
    defer { Self.removeFolder(of: path) }
    let (first, _, _) = try await start("--session", path, "--wait", "100ms")
    try first.endInput()
    #expect(try await first.end().status == 0)
    let other = try await FakeRelay.start()
    let program = try Program("voltlane-connect", [other.listener.endpoint.description, "--session", path])
    try await other.listener.accept().write(other.greeting)
    let (status, _, errors) = try await program.end()
    #expect(status == 77)
    #expect(errors.hasSuffix("remove \(path) to begin a new session\n"), "\(errors)")
  }

  private static func makeFolder() throws -> String {
    let path = "/tmp/voltlane-connect-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    return path
  }

  private static func removeFolder(of file: String) {
    try? FileManager.default.removeItem(at: URL(fileURLWithPath: file).deletingLastPathComponent())
  }

  @Test func aSessionFileThatOthersCanRead() async throws {
    let path = try Self.makeFolder() + "/session"
    defer { Self.removeFolder(of: path) }
    let session = FileSessionStore.text(
      ClientSession(
        clientID: 1, secretKey: Array(repeating: 1, count: 32), relayKey: Array(repeating: 2, count: 33)))
    // To make a file of something else private would help nobody.
    for (text, reason) in [(session, "others may read it; chmod 600"), ("notes", "contains no session")] {
      #expect(
        FileManager.default.createFile(
          atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o644]))
      let (status, _, errors) = try await Program("voltlane-connect", ["127.0.0.1:1", "--session", path]).end()
      #expect(status == 66)
      #expect(errors.contains(reason), "\(errors)")
    }
  }

  @Test func nobodyListens() async throws {
    let listener = try await ByteListener.start()
    await listener.stop()
    let (status, output, errors) = try await Program("voltlane-connect", [listener.endpoint.description]).end()
    #expect(status == 69)
    #expect(output == "")
    #expect(
      errors == """
        voltlane-connect: cannot reach \(listener.endpoint): connection refused; check the address, and that the relay \
        is running

        """)
  }

  @Test func noRelayAnswers() async throws {
    let listener = try await ByteListener.start()
    let program = try Program("voltlane-connect", [listener.endpoint.description])
    try await listener.accept().write(Array("SSH-2.0-x\r\n".utf8))
    let (status, _, errors) = try await program.end()
    #expect(status == 65)
    #expect(errors.hasPrefix("voltlane-connect: no relay answers there: "))
  }

  @Test func tellsItsVersion() async throws {
    let (status, output, _) = try await Program("voltlane-connect", ["--version"]).end()
    #expect(status == 0)
    #expect(output == "\(Version.current)\n")
  }

  /// Every setting names itself, the value and what is allowed.
  @Test(arguments: [
    ("ADDRESS", "nonsense", ": it has no port"), ("ADDRESS", "::1:5", ": an IPv6 address needs brackets"),
    ("ADDRESS", "host:0", ": nothing can be reached at port 0"), ("--wait", "-1", ""),
    ("--wait", "3", ": it has no unit"),
    ("--connect-timeout", "0", ""), ("--connect-timeout", "25h", ""), ("--max-packet-size", "0", ""),
    ("--max-packet-size", "2GiB", ""), ("--relay-key", "02ff", ": it has 4 characters"),
    ("--relay-key", String(repeating: "0g", count: 33), ": it has a character that is not a hexadecimal digit"),
    ("--relay-key", "05" + String(repeating: "01", count: 32), ": a public key of 33 bytes with the tag 5"),
    ("--relay-key", "02" + String(repeating: "ff", count: 32), ": the public key is not a point"),
    ("--give-up", "-1s", ""), ("--session", "", ""),
  ])
  func wrongUsage(setting: String, value: String, reason: String) async throws {
    let arguments = setting == "ADDRESS" ? [value] : ["127.0.0.1:1", setting, value]
    let (status, _, errors) = try await Program("voltlane-connect", arguments).end()
    #expect(status == 64)
    #expect(errors.hasPrefix("Error: \(setting): '\(value)' is not allowed\(reason)"), "\(errors)")
    #expect(errors.contains(". Allowed: "))
  }

  @Test(arguments: [[], ["127.0.0.1:1", "more"], ["127.0.0.1:1", "--wait", "1s", "--wait", "2s"]])
  func wrongArguments(arguments: [String]) async throws {
    #expect(try await Program("voltlane-connect", arguments).end().status == 64)
  }

  /// The documentation's table of the program's flags.
  @Test func theDocumentationHasItsSettings() throws {
    let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources/Voltlane/Voltlane.docc/Tools.md")
    let table = try String(contentsOf: page, encoding: .utf8).split(separator: "\n")
      .drop { $0 != "## voltlane-connect" }.drop { !$0.hasPrefix("| Flag |") }.prefix { $0.hasPrefix("|") }
    #expect(table.joined(separator: "\n") == Settings.table)
  }

  /// The units of the relay's own flags.
  @Test func sizesAndTimes() throws {
    let command = try VoltlaneConnect.parse([
      "[::1]:7", "--wait", "250ms", "--connect-timeout", "1m", "--max-packet-size", "64KiB", "--give-up", "inf",
    ])
    let configuration = try Configuration(command)
    #expect(configuration.relay == .tcp(host: "::1", port: 7))
    #expect(configuration.ending.quiet == .milliseconds(250))
    #expect(configuration.options.connectTimeout == .seconds(60))
    #expect(configuration.options.maxPacketSize == 65536)
    #expect(configuration.options.reconnection == .init(giveUpAfter: nil))
    let standard = try Configuration(try VoltlaneConnect.parse(["a:1"]))
    #expect(standard.ending.quiet == .seconds(1))
    #expect(standard.options.relayKey == nil && standard.session == nil)
    #expect(standard.options.reconnection == .init(giveUpAfter: .seconds(300)))
  }
}
