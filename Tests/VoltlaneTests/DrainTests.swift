import Foundation
import Testing

/// The gradual drain of the program: SIGUSR2.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct DrainTests {
  /// A relay with an embedded echo, its address, and so many clients with their ids.
  private static func start(
    _ arguments: [String], clients count: Int
  ) throws -> (relay: BuiltProgram.Running, address: String, clients: [(program: BuiltProgram.Running, id: String)]) {
    let relay = try BuiltProgram.relay.start(
      ["--listen", "127.0.0.1:0", "--backend", "echo", "--log-level", "debug"] + arguments)
    let log = relay.log(until: "backend connected")
    let address = String(try #require(log.firstMatch(of: #/listening on (\S+)/#)).1)
    let clients = try (0..<count).map { _ in
      let client = try BuiltProgram.client.start([address, "--wait", "0s", "--no-reconnect"])
      let id = try #require(client.log(until: "relay key").firstMatch(of: #/client id:? ([0-9a-f]{16})/#)).1
      return (client, String(id))
    }
    return (relay, address, clients)
  }

  /// The ids of sessions that a log says have ended because of the drain, in order.
  private static func letGo(_ log: String) -> [String] {
    log.split(separator: "\n").filter { $0.contains("session ended: relay draining") }
      .compactMap { $0.firstMatch(of: #/id=([0-9a-f]{16})/#).map { String($0.1) } }
  }

  /// Newcomers are refused, those who are there go on until it is their turn, those who are idle first, and then the
  /// relay exits.
  @Test(arguments: [["--shards", "1"], ["--shards", "2"]])
  func clientsAreLetGoOneByOne(layout: [String]) throws {
    // To write to a client that has gone is what this test is about.
    signal(SIGPIPE, SIG_IGN)
    let (relay, address, clients) = try Self.start(layout + ["--drain-time", "4s"], clients: 8)
    // These go on talking, each as soon as it is answered.
    let talkers = clients.suffix(4)
    for talker in talkers {
      Thread.detachNewThread {
        let input = talker.program.input.fileHandleForWriting
        let output = talker.program.output.fileHandleForReading
        repeat {
          guard (try? input.write(contentsOf: Data("hello\n".utf8))) != nil else { return }
          usleep(10_000)
        } while !output.availableData.isEmpty
      }
    }
    // Longer than what idle time is rounded to.
    usleep(500_000)
    relay.send(SIGUSR2)
    let start = relay.log(until: "SIGUSR2: ")
    #expect(start.contains("SIGUSR2: draining over 4s: accepting nobody"), "\(start)")
    let newcomer = try BuiltProgram.client.run([address, "--wait", "0s", "--no-reconnect"])
    #expect(newcomer.code != 0 && newcomer.output.isEmpty, "\(newcomer.errors)")
    relay.send(SIGUSR2)
    let again = relay.log(until: "draining already")
    #expect(again.contains("SIGUSR2: draining already"), "\(again)")
    let outcome = relay.finish()
    #expect(outcome.code == 0)
    let ended = Self.letGo(start + again + outcome.errors)
    #expect(Set(ended) == Set(clients.map(\.id)))
    #expect(Set(ended.prefix(4)) == Set(clients.prefix(4).map(\.id)), "\(ended) \(clients.map(\.id))")
    #expect(outcome.errors.contains("all clients were let go: shutting down"), "\(outcome.errors)")
    for client in clients { _ = client.program.finish() }
  }

  /// Nobody waits where nobody has to be let go.
  @Test func withoutClientsItEndsAtOnce() throws {
    let (relay, _, _) = try Self.start(["--drain-time", "24h"], clients: 0)
    relay.send(SIGUSR2)
    #expect(relay.finish().code == 0)
  }

  @Test func withoutTimeItIsAShutdown() throws {
    let (relay, _, clients) = try Self.start(["--drain-time", "0s"], clients: 2)
    relay.send(SIGUSR2)
    let outcome = relay.finish()
    #expect(outcome.code == 0 && Self.letGo(outcome.errors).count == 2, "\(outcome.errors)")
    for client in clients { _ = client.program.finish() }
  }

  /// Whoever cannot wait asks for the end, which is the usual one.
  @Test func aShutdownCutsItShort() throws {
    let (relay, _, clients) = try Self.start(["--drain-time", "24h"], clients: 2)
    relay.send(SIGUSR2)
    #expect(relay.log(until: "SIGUSR2: draining").contains("SIGUSR2: draining over 24h"))
    relay.send(SIGHUP)
    #expect(relay.log(until: "SIGHUP: no setting has changed").contains("no setting has changed"))
    relay.send(SIGTERM)
    let outcome = relay.finish()
    #expect(outcome.code == 0 && Self.letGo(outcome.errors).count == 2, "\(outcome.errors)")
    #expect(outcome.errors.contains("SIGTERM: draining, at most 5s"), "\(outcome.errors)")
    for client in clients { _ = client.program.finish() }
  }

  /// The log's reader stalls: the drain goes on.
  @Test func stalledLogDelaysNothing() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(
      ["--backend", "echo", "--drain-time", "1s", "--log-level", "debug"], errors: pipe.pipe)
    #expect(relay.serves())
    let client = try BuiltProgram.client.start([relay.address, "--no-reconnect"])
    #expect(client.log(until: "client id").contains("client id"))
    relay.send(SIGUSR2)
    #expect(relay.end() == 0)
    _ = client.finish()
  }
}
