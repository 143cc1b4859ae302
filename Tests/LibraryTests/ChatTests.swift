import Foundation
import NIOCore
import Testing
import VoltlaneNIO
import VoltlaneWire

@testable import ChatServer
@testable import VoltlaneBackend

/// The examples do what the documentation says of them.
@Suite(.timeLimit(.minutes(10))) struct ChatTests {
  private func data(_ id: UInt64, _ text: String) -> BackendEvent {
    .data(clientID: id, ByteBuffer(string: text))
  }

  @Test func whatOneSaysTheOthersRead() {
    var room = Room()
    #expect(room.handle(data(1, "hello")) == [])
    #expect(room.handle(data(2, "hi")) == [.tell(1, "guest 0002 is here"), .tell(1, "guest 0002: hi")])
    #expect(room.handle(data(1, "/name Ada")) == [.tell(2, "guest 0001 is now Ada")])
    #expect(room.handle(data(1, "hi")) == [.tell(2, "Ada: hi")])
    #expect(room.handle(data(1, String(repeating: "x", count: 1001))) == [.kick(1)])
    #expect(room.handle(.failure(clientID: 1, reason: "kicked")) == [.tell(2, "Ada has left")])
    #expect(room.handle(.failure(clientID: 1, reason: "unknown client")) == [])
  }

  @Test func theTableFollowsTheAnnouncement() {
    var room = Room()
    for id: UInt64 in 1...3 { _ = room.handle(data(id, "/name \(id)")) }
    let firehose = Firehose(number: 1, remoteAddress: nil)
    #expect(room.handle(.disconnected(firehose, .closed)) == [])
    #expect(room.handle(.connected(firehose)) == [])
    #expect(room.handle(.reconnection(clientID: 1)) == [])
    #expect(room.handle(.reconnection(clientID: 3)) == [])
    // Unknown to this room, as to one that has restarted.
    let joins: [Room.Action] = [
      .tell(1, "guest 0004 is here"), .tell(2, "guest 0004 is here"), .tell(3, "guest 0004 is here"),
    ]
    #expect(room.handle(.reconnection(clientID: 4)) == joins)
    let leaves: [Room.Action] = [.tell(1, "2 has left"), .tell(3, "2 has left"), .tell(4, "2 has left")]
    #expect(room.handle(.announced(firehose)) == leaves)
    // A relay that has restarted names nobody.
    #expect(room.handle(.connected(firehose)) == [])
    #expect(room.handle(.announced(firehose)).count == 2 + 1)
    #expect(room.handle(data(9, "hi")) == [])
  }

  /// Server, relay and two clients, as the documentation starts them.
  @Test func runsAgainstTheRelay() async throws {
    let server = try Program("ChatServer", ["127.0.0.1:0"])
    let backend = try await server.firstError().split(separator: " ").last ?? ""
    let path = "/tmp/voltlane-chat-\(UInt64.random(in: 0 ... .max)).sock"
    let relay = try Program("voltlane", ["--listen", "unix:\(path)", "--backend", String(backend)])
    defer {
      server.terminate()
      relay.terminate()
    }
    while !FileManager.default.fileExists(atPath: path) { try await Task.sleep(for: .milliseconds(10)) }
    let ada = try Program("ChatClient", ["unix:\(path)"])
    try ada.write("/name Ada\n")
    let bob = try Program("ChatClient", ["unix:\(path)"])
    // Bob repeats his name until Ada hears it: if he was in the room first, she may have come too late for it.
    let naming = Task {
      while !Task.isCancelled {
        try bob.write("/name Bob\n")
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    var seen = ""
    while !seen.hasSuffix("is now Bob") { seen = try await ada.firstLine() }
    naming.cancel()
    _ = await naming.result
    try ada.write("hello\n")
    while seen != "Ada: hello" { seen = try await bob.firstLine() }
    try bob.write("good-bye\n")
    while seen != "Bob: good-bye" { seen = try await ada.firstLine() }
    try ada.endInput()
    #expect(try await ada.end().status == 0)
    try bob.endInput()
    #expect(try await bob.end().status == 0)
  }

  /// As of programs that nobody calls rightly at the first time.
  @Test(arguments: ["ChatServer", "ChatClient"], [["--help"], ["::1:5"], ["127.0.0.1:1", "more"]])
  func wrongArgumentsAreSaid(program: String, arguments: [String]) async throws {
    let (status, output, errors) = try await Program(program, arguments).end()
    #expect(status == 64)
    #expect(output == "")
    #expect(errors.hasPrefix("\(program): no address: "), "\(errors)")
  }

  /// The code in the articles is that of the examples, word for word.
  @Test(arguments: [
    ("VoltlaneClient/VoltlaneClient.docc/Chat-client.md", ["ChatClient/Main.swift"]),
    ("VoltlaneBackend/VoltlaneBackend.docc/Chat-server.md", ["ChatServer/Main.swift", "ChatServer/Room.swift"]),
    ("VoltlaneBackend/VoltlaneBackend.docc/Table-of-clients.md", ["ChatServer/Room.swift"]),
  ])
  func theArticlesQuoteTheExamples(article: String, sources: [String]) throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Sources")
    func lines(_ path: String) throws -> [String] {
      try String(contentsOf: folder.appendingPathComponent(path), encoding: .utf8).components(separatedBy: "\n")
        .map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let code = try sources.map { try lines("Examples/\($0)").joined(separator: "\n") }
    var quotes: [String] = []
    for (number, block) in try lines(article).split(separator: "```swift").dropFirst().enumerated() {
      let quote = block.prefix { $0 != "```" }.joined(separator: "\n")
      #expect(code.contains { $0.contains(quote) }, "quote \(number) of \(article)")
      quotes.append(quote)
    }
    #expect(!quotes.isEmpty)
  }
}
