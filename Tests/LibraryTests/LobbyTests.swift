import Foundation
import LobbyPackets
import NIOCore
import Testing
import VoltlaneNIO
import VoltlaneText

@testable import LobbyBot
@testable import LobbyServer
@testable import VoltlaneBackend

/// The example of the documentation, whose bots check what they hear.
@Suite(.timeLimit(.minutes(10))) struct LobbyTests {
  /// Each part is killed with SIGKILL in the middle of a conversation, and started again: nobody misses a confirmation,
  /// and nobody hears anything out of order.
  @Test func everyPartIsKilled() async throws {
    let folder = "/tmp/voltlane-lobby-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // Unix sockets: others take no port of theirs meanwhile.
    let (inside, outside) = ("unix:\(folder)/backend", "unix:\(folder)/relay")
    var server = try await Self.server(inside)
    var relay = try await Self.relay(outside, inside, folder)
    defer {
      server.send(SIGKILL)
      relay.send(SIGKILL)
    }
    let count = 300
    func bot(_ name: String) throws -> Program {
      try Program("LobbyBot", [outside, name, "\(folder)/\(name).session", "\(count)"])
    }
    var ada = try bot("ada")
    let bob = try bot("bob")
    try await Self.wait(for: 50, ada)

    server.send(SIGKILL)
    _ = try await server.end()
    server = try await Self.server(inside)
    try await Self.wait(for: 100, ada)

    relay.send(SIGKILL)
    _ = try await relay.end()
    relay = try await Self.relay(outside, inside, folder)
    try await Self.wait(for: 150, ada)

    ada.send(SIGKILL)
    _ = try await ada.end()
    ada = try bot("ada")
    for (name, program) in [("ada", ada), ("bob", bob)] {
      let (status, output, errors) = try await program.end()
      #expect(status == 0, "\(name): \(errors)")
      #expect(output.hasSuffix("confirmed \(count)\ndone\n"), "\(name): \(output.suffix(100))")
      let numbers = output.split(separator: "\n").dropLast().compactMap { Int($0.dropFirst("confirmed ".count)) }
      let gaps = zip(numbers, numbers.dropFirst()).filter { $1 != $0 + 1 }
      // What the server took and could not confirm is confirmed by its welcome, together with what is before.
      #expect(gaps.allSatisfy { $1 == $0 + 2 } && gaps.count <= 2, "\(name): \(gaps)")
    }
  }

  private static func server(_ inside: String) async throws -> Program {
    let server = try Program("LobbyServer", [inside])
    #expect(try await server.firstLine() == "listening on \(inside)")
    return server
  }

  private static func relay(_ outside: String, _ inside: String, _ folder: String) async throws -> Program {
    let relay = try Program(
      "voltlane", ["--listen", outside, "--backend", inside, "--shards", "1", "--identity", "\(folder)/relay.key"])
    while !(try await relay.firstError()).contains("listening on ") {}
    return relay
  }

  private static func wait(for number: Int, _ bot: Program) async throws {
    while true {
      let line = try await bot.firstLine()
      try #require(!line.isEmpty, "the bot has ended")
      if let confirmed = Int(line.dropFirst("confirmed ".count)), confirmed >= number { return }
    }
  }

  // MARK: - Without sockets

  private func say(_ lobby: inout Lobby, _ id: UInt64, _ packet: MemberPacket) -> [Lobby.Action] {
    lobby.handle(.data(clientID: id, PacketCoder.encode(packet)))
  }

  @Test func whoDoesNotReadMissesLinesAndNothingElse() {
    var lobby = Lobby()
    _ = say(&lobby, 1, .join(name: "ada", next: 1))
    _ = say(&lobby, 2, .join(name: "bob", next: 1))
    for number in 1...Lobby.window {
      #expect(
        say(&lobby, 1, .say(number: number, text: "x"))
          == [.send(1, .confirmed(number)), .send(2, .said(name: "ada", number: number, text: "x"))])
    }
    let next = Lobby.window + 1
    #expect(say(&lobby, 1, .say(number: next, text: "x")) == [.send(1, .confirmed(next))])
    #expect(say(&lobby, 1, .say(number: next + 1, text: "x")) == [.send(1, .confirmed(next + 1))])
    #expect(say(&lobby, 2, .read(16)) == [.send(2, .missed(2))])
    #expect(say(&lobby, 1, .say(number: next + 2, text: "x")).count == 2)
  }

  @Test func goodbyeIsAKickAndSoIsNonsense() {
    var lobby = Lobby()
    _ = say(&lobby, 1, .join(name: "ada", next: 1))
    #expect(say(&lobby, 1, .goodbye) == [.kick(1)])
    #expect(say(&lobby, 1, .say(number: 1, text: "x")) == [.send(1, .whoAreYou)])
    #expect(lobby.handle(.data(clientID: 2, ByteBuffer(string: "nonsense"))) == [.kick(2)])
    #expect(say(&lobby, 3, .ping) == [.send(3, .pong)])
  }

  @Test func aServerThatWasRestartedAsks() {
    var lobby = Lobby()
    let firehose = Firehose(number: 1, remoteAddress: nil)
    #expect(lobby.handle(.connected(firehose)) == [])
    #expect(lobby.handle(.reconnection(clientID: 1)) == [.send(1, .whoAreYou)])
    #expect(lobby.handle(.announced(firehose)) == [])
    #expect(
      say(&lobby, 1, .join(name: "ada", next: 7)) == [.send(1, .welcome(confirmed: 6, members: ["ada"]))])
    // Its confirmation was lost.
    #expect(say(&lobby, 1, .say(number: 6, text: "x")) == [.send(1, .confirmed(6))])
  }

  /// A checker that cannot complain checks nothing.
  @Test func theBotNoticesWhatIsWrong() throws {
    func talk() throws -> Talk {
      var talk = Talk(name: "ada", last: 9)
      #expect(talk.begin() == .join(name: "ada", next: 1))
      #expect(try talk.hear(.welcome(confirmed: 0, members: [])) == [.say(number: 1, text: "line 1 of ada")])
      #expect(try talk.hear(.said(name: "bob", number: 3, text: "line 3 of bob")) == [])
      #expect(try talk.hear(.confirmed(1)) == [.say(number: 2, text: "line 2 of ada")])
      return talk
    }
    for wrong: LobbyPacket in [
      .said(name: "bob", number: 3, text: "line 3 of bob"), .said(name: "bob", number: 2, text: "line 2 of bob"),
      .said(name: "bob", number: 4, text: "line 5 of bob"), .confirmed(3), .welcome(confirmed: 0, members: []),
    ] {
      var talk = try talk()
      #expect(throws: Talk.Wrong.self) { try talk.hear(wrong) }
    }
    // Once more, where something died; not twice.
    var again = try talk()
    #expect(try again.hear(.whoAreYou) == [.join(name: "ada", next: 2)])
    #expect(try again.hear(.said(name: "bob", number: 3, text: "line 3 of bob")) == [])
    #expect(throws: Talk.Wrong.self) { try again.hear(.said(name: "bob", number: 3, text: "line 3 of bob")) }
  }
}
