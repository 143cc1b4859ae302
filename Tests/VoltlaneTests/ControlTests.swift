import Foundation
import Testing
import VoltlaneText

/// The control socket and `voltlane-ctl`, with a relay that runs.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct ControlTests {
  // MARK: What there is to know

  @Test func statusSaysHowItIs() throws {
    let scene = try ControlScene()
    let client = try scene.client()
    let status = try scene.ask(["status"])
    #expect(status["state"] == "running" && status["accepts"] == true && status["sessions"] == 1, "\(status)")
    #expect(status["pid"]?.integer == Int(scene.relay.process.processIdentifier))
    #expect(status["listeners"]?.array == [.string(scene.address)])
    let text = try scene.run(["status"])
    #expect(text.code == 0 && text.output.contains("sessions      1, 0 have ended"), "\(text)")
    #expect(try scene.ask(["version"])["version"] == status["version"])
    #expect(try scene.ask(["metrics"])["sessions"]?["attached"] == 1)
    #expect(try scene.run(["metrics"]).output.contains("\nvoltlane_sessions{state=\"attached\"} 1\n"))
    #expect(try scene.run(["settings"]).output.contains("stale-timeout"))
    _ = client.program.finish()
    scene.end()
  }

  @Test func clientsAreListed() throws {
    let scene = try ControlScene()
    let clients = try (0..<5).map { _ in try scene.client() }
    let list = try scene.ask(["clients", "--sort", "id", "--ascending"])
    #expect(list["total"] == 5)
    #expect(list["clients"]?.array?.compactMap { $0["id"]?.string } == clients.map(\.id).sorted())
    let top = try scene.ask(["clients", "--sort", "id", "--top", "2"])
    #expect(top["clients"]?.array?.compactMap { $0["id"]?.string } == clients.map(\.id).sorted().suffix(2).reversed())
    #expect(top["total"] == 5)
    #expect(try scene.ask(["clients", "--address", "192.0.2.0/24"])["total"] == 0)
    #expect(try scene.ask(["clients", "--address", "127.0.0.1", "--state", "attached"])["total"] == 5)
    let one = try scene.ask(["client", clients[0].id])
    #expect(one["id"] == .string(clients[0].id) && one["address"] == "127.0.0.1", "\(one)")
    let text = try scene.run(["clients"])
    #expect(text.output.contains("BYTES DOWN") && text.output.contains("5 of 5"), "\(text.output)")
    for wrong in [["--address", "10.0.0.1/8"], ["--state", "gone"], ["--top", "0"]] {
      let refused = try scene.run(["clients"] + wrong)
      #expect(refused.code == 1 && refused.errors.contains("not allowed") || refused.errors.contains("not a number"))
    }
    for client in clients { _ = client.program.finish() }
    scene.end()
  }

  // MARK: Acting

  @Test func kicking() throws {
    let scene = try ControlScene()
    let clients = try (0..<3).map { _ in try scene.client() }
    #expect(try scene.ask(["kick", clients[0].id])["ended"] == 1)
    let again = try scene.run(["kick", clients[0].id])
    #expect(again.code == 1 && again.errors.contains("there is no session id \(clients[0].id)"), "\(again)")
    #expect(try scene.run(["kick", "7"]).errors.contains("16 hexadecimal digits"))
    #expect(try scene.run(["kick"]).code == 64)
    #expect(try scene.ask(["clients"])["total"] == 2)
    #expect(try scene.ask(["kick", "--address", "192.0.2.1"])["ended"] == 0)
    // Half of the internet is not ended by a slip of the finger.
    let wide = try scene.run(["kick", "--address", "127.0.0.0/8"])
    #expect(wide.code == 1 && wide.errors.contains("127.0.0.0/8 is wide") && wide.errors.contains("--yes"), "\(wide)")
    #expect(try scene.run(["kick", "--address", "::/0"]).code == 1)
    #expect(try scene.ask(["clients"])["total"] == 2)
    #expect(try scene.ask(["kick", "--address", "127.0.0.0/8", "--yes"])["ended"] == 2)
    #expect(try scene.ask(["metrics"])["ended"]?["kicked"] == 3)
    for client in clients { _ = client.program.finish() }
    #expect(scene.end().contains("control: kicked address 127.0.0.0/8  sessions=2"))
  }

  @Test func banning() throws {
    let scene = try ControlScene()
    let client = try scene.client()
    #expect(try scene.run(["ban", "0.0.0.0/0"]).errors.contains("0.0.0.0/0 is wide"))
    #expect(try scene.ask(["bans"])["bans"]?.array == [])
    #expect(try scene.ask(["ban", "127.0.0.0/8", "--yes"])["ended"] == 1)
    _ = client.program.finish()
    #expect(try BuiltProgram.client.run([scene.address, "--wait", "0s", "--no-reconnect"]).code != 0)
    #expect(try scene.ask(["bans"])["bans"]?.array?.first?["network"] == "127.0.0.0/8")
    // A reload is about the file, and not about this.
    #expect(try scene.run(["reload"]).code == 0)
    #expect(try BuiltProgram.client.run([scene.address, "--wait", "0s", "--no-reconnect"]).code != 0)
    let wrong = try scene.run(["unban", "192.0.2.1"])
    #expect(wrong.code == 1 && wrong.errors.contains("192.0.2.1 is not banned here"), "\(wrong)")
    #expect(try scene.run(["unban", "127.0.0.0/8"]).code == 0)
    _ = try scene.client().program.finish()
    // One that ends by itself.
    #expect(try scene.run(["ban", "127.0.0.1", "--for", "1s"]).output.contains("for 1s"))
    #expect(scene.relay.log(until: "its time is over").contains("127.0.0.1 is no longer banned"))
    _ = try scene.client().program.finish()
    // Of a single IPv6 address, its owner's network.
    #expect(try scene.run(["ban", "2001:db8::1"]).output.contains("banned 2001:db8:0:0::/64"))
    #expect(try scene.run(["unban", "2001:db8::2"]).output.contains("2001:db8:0:0::/64 is no longer banned"))
    #expect(try scene.run(["ban", "127.0.0.1/8"]).errors.contains("bits set after its prefix"))
    #expect(try scene.run(["ban", "::1", "--for", "soon"]).code == 64)
    scene.end()
  }

  @Test func settings() throws {
    let scene = try ControlScene(file: "stale-timeout = '1m'\nlog-level = 'info'\n")
    let set = try scene.ask(["set", "stale-timeout", "2m"])
    #expect(set["changes"]?.array?.first?["change"] == "2m, was 1m", "\(set)")
    #expect(set["remark"]?.string?.contains("relay.toml:1 still has 1m: a reload or a restart returns") == true)
    #expect(try scene.ask(["settings"])["settings"]?.string?.contains("\"2m\"") == true)
    // The same errors as at the start.
    let wrong = try scene.run(["set", "stale-timeout", "5"])
    #expect(wrong.code == 1 && wrong.errors.contains("stale-timeout: '5' is not allowed: it has no unit"), "\(wrong)")
    let together = try scene.run(["set", "assembly-budget", "1KiB"])
    #expect(together.errors.contains("less than --max-packet-size"), "\(together)")
    #expect(try scene.run(["set", "shards", "2"]).errors.contains("only a start can change it"))
    #expect(try scene.run(["set", "stale-time", "2m"]).errors.contains("did you mean stale-timeout?"))
    #expect(try scene.run(["set", "stale-timeout", "2m", "3m"]).errors.contains("it takes one value"))
    #expect(try scene.ask(["set", "deny", "192.0.2.0/24", "198.51.100.1"])["values"]?.array?.count == 2)
    let lowered = try scene.run(["set", "deny", "none"])
    #expect(lowered.output.contains("protects less than before"), "\(lowered)")
    // The level, and back by a reload.
    #expect(try scene.run(["log-level", "error"]).output.contains("log-level: error, was info"))
    #expect(try scene.run(["log-level"]).output == "error\n")
    let reload = try scene.ask(["reload"])
    #expect(reload["changes"]?.array?.contains { $0["change"] == "1m, was 2m" } == true, "\(reload)")
    #expect(try scene.run(["log-level"]).output == "info\n")
    // What a reload refuses, it says here.
    try Data("stale-timeout = 'x'\n".utf8).write(to: scene.file)
    let refused = try scene.run(["reload"])
    #expect(refused.code == 1 && refused.errors.contains("relay.toml:1:17: stale-timeout: 'x'"), "\(refused)")
    scene.end()
  }

  // MARK: The drain

  @Test func drainIsTakenBack() throws {
    let scene = try ControlScene()
    let clients = try (0..<3).map { _ in try scene.client() }
    #expect(try scene.run(["undrain"]).errors.contains("the relay is not draining"))
    for _ in 0..<2 {
      #expect(try scene.ask(["drain", "--time", "24h"])["sessions"] == 3)
      let status = try scene.ask(["status"])
      #expect(status["state"] == "draining" && status["accepts"] == false, "\(status)")
      #expect((status["drain_seconds_left"]?.real ?? 0) > 80_000)
      #expect(try BuiltProgram.client.run([scene.address, "--wait", "0s", "--no-reconnect"]).code != 0)
      #expect(try scene.ask(["undrain"])["sessions"] == 3)
      #expect(try scene.ask(["status"])["state"] == "running")
      let newcomer = try scene.client()
      #expect(try scene.ask(["kick", newcomer.id])["ended"] == 1)
      _ = newcomer.program.finish()
    }
    // Once more, with less time: it is the new one that counts.
    #expect(try scene.run(["drain", "--time", "24h"]).output.contains("draining 3 sessions over 1d"))
    #expect(try scene.run(["drain", "--time", "100ms"]).code == 0)
    let outcome = scene.relay.finish()
    #expect(outcome.code == 0)
    #expect(outcome.errors.contains("all clients were let go"), "\(outcome.errors)")
    for client in clients { _ = client.program.finish() }
    let late = try scene.run(["status"])
    #expect(late.code == 69 && late.errors.contains("cannot reach a relay"), "\(late)")
    #expect(!FileManager.default.fileExists(atPath: scene.path))
  }

  // MARK: Peers that are no good

  /// Whatever peers send or leave out, others are answered, and clients are served.
  @Test func hostilePeersCostNobodyAnything() throws {
    let scene = try ControlScene()
    let garbage = ["", "\0", "\n\n", "{", "[]\n", "7\n", "{\"command\":7}\n", "{\"command\":\"\"}\n", "nonsense\n"]
    // Whose conditions are not all there.
    let kick = "{\"command\":\"kick\",\"id\":null,\"address\":\"127.0.0.1\"}\n"
    for text in garbage + [kick] {
      let peer = try ControlScene.Peer(scene.path)
      peer.send(Array(text.utf8))
      peer.finish()
      let answer = String(decoding: peer.readAll(), as: UTF8.self)
      #expect(answer.split(separator: "\n").allSatisfy { $0.hasPrefix("{\"error\":") }, "\(text): \(answer)")
    }
    // Too long, and it never ends.
    let endless = try ControlScene.Peer(scene.path)
    var isTaken = true
    for _ in 0..<64 where isTaken { isTaken = endless.send([UInt8](repeating: 0x20, count: 64 * 1024)) }
    #expect(!isTaken)
    // Requests without end, of whose answers nothing is read.
    let deaf = try ControlScene.Peer(scene.path)
    deaf.isBlocking = false
    let requests = Array(String(repeating: "{\"command\":\"settings\"}\n", count: 200).utf8)
    for _ in 0..<20 { deaf.send(requests) }
    // Deep, and half.
    let deep = try ControlScene.Peer(scene.path)
    deep.send(Array((String(repeating: "[", count: 100_000) + "\n").utf8))
    let half = try ControlScene.Peer(scene.path)
    half.send(Array("{\"command\":\"sta".utf8))
    #expect(try scene.ask(["status"])["state"] == "running")
    _ = try scene.client().program.finish()
    // More than there is room for: some are refused, and the rest goes on once they are gone.
    var crowd: [ControlScene.Peer] = []
    for _ in 0..<40 { crowd.append(try ControlScene.Peer(scene.path)) }
    #expect(String(decoding: crowd[39].readAll(), as: UTF8.self).contains("too many connections"))
    _ = try scene.client().program.finish()
    crowd = []
    #expect(try scene.eventually { try scene.status() != nil })
    withExtendedLifetime((deaf, deep, half, endless)) { _ = scene.end() }
  }

  /// Requests behind one another, and an end behind the last: each is answered.
  @Test func manyRequestsInOneConnection() throws {
    let scene = try ControlScene()
    let peer = try ControlScene.Peer(scene.path)
    peer.send(Array(String(repeating: "{\"command\":\"version\"}\n", count: 50).utf8))
    peer.finish()
    let lines = String(decoding: peer.readAll(), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 50 && lines.allSatisfy { $0.hasPrefix("{\"ok\":{\"version\":") }, "\(lines.prefix(2))")
    scene.end()
  }

  /// What a supervisor waits for before it sends SIGTERM.
  @Test func drainIsWaitedFor() throws {
    let scene = try ControlScene()
    let client = try scene.client()
    let waiting = try BuiltProgram.control.start([
      "drain", "--time", "24h", "--wait", "--control", "unix:\(scene.path)",
    ])
    #expect(try scene.eventually { try scene.status()?["state"] == "draining" })
    #expect(try scene.run(["undrain"]).code == 0)
    let refused = waiting.finish()
    #expect(refused.code == 1 && refused.errors.contains("the drain was taken back"), "\(refused)")
    let waited = try scene.run(["drain", "--time", "100ms", "--wait"])
    #expect(waited.code == 0 && waited.output.contains("draining 1 session over"), "\(waited)")
    // It has closed its sockets, the one for commands last.
    #expect(try scene.run(["status"]).code == 69)
    let outcome = scene.relay.finish()
    #expect(outcome.code == 0 && outcome.errors.contains("all clients were let go"), "\(outcome.errors)")
    _ = client.program.finish()
  }

  @Test func onlyTheOwnerIsHeard() throws {
    let scene = try ControlScene()
    let attributes = try FileManager.default.attributesOfItem(atPath: scene.path)
    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    guard geteuid() == 0 else { return }
    // Somebody who may connect is still not the owner.
    #expect(chmod(scene.path, 0o666) == 0 && chmod(scene.folder.path, 0o755) == 0)
    let program = BuiltProgram.folder!.appendingPathComponent("voltlane-ctl").path
    let other = try BuiltProgram(name: "/usr/bin/setpriv").run([
      "--reuid=65534", "--clear-groups", program, "status", "--control", "unix:\(scene.path)",
    ])
    #expect(other.code == 1 && other.errors.contains("for the relay's user and root"), "\(other)")
    scene.end()
  }

  @Test func stalledLogDelaysNoCommand() throws {
    let pipe = StalledPipe()
    let path = "/tmp/voltlane-control-\(UUID().uuidString.prefix(8))"
    let relay = try UnheardRelay(["--backend", "echo", "--control", "unix:\(path)"], errors: pipe.pipe)
    #expect(relay.serves())
    func run(_ arguments: [String]) throws -> BuiltProgram.Outcome {
      try BuiltProgram.control.run(arguments + ["--control", "unix:\(path)"])
    }
    for _ in 0..<3 {
      #expect(try run(["log-level", "debug"]).code == 0)
      #expect(try run(["ban", "192.0.2.1"]).code == 0)
      #expect(try run(["reload"]).code == 0)
    }
    #expect(try run(["drain"]).code == 0)
    #expect(relay.end() == 0)
  }

  // MARK: The program

  @Test(arguments: ["bash", "zsh", "fish"]) func completionScripts(shell: String) throws {
    let script = try BuiltProgram.control.run(["--generate-completion-script", shell])
    #expect(script.code == 0 && script.output.contains("undrain"))
    guard shell == "bash" else { return }
    #expect(try BuiltProgram.shell.run(["-n"], input: script.output).code == 0)
  }

  @Test func topNeedsATerminal() throws {
    let scene = try ControlScene()
    let top = try scene.run(["top"])
    #expect(top.code == 1 && top.errors.contains("top needs a terminal"), "\(top)")
    scene.end()
  }

  @Test func thereIsNoRelay() throws {
    let none = try BuiltProgram.control.run(["status", "--control", "unix:/no/such/socket"])
    #expect(none.code == 69 && none.errors.contains("cannot reach a relay at unix:/no/such/socket"), "\(none)")
    let wrong = try BuiltProgram.control.run(["status", "--control", "127.0.0.1:1"])
    #expect(wrong.code == 69 && wrong.errors.contains("is not a unix socket"), "\(wrong)")
    #expect(try BuiltProgram.control.run(["status", "--control", "x"]).code == 64)
  }
}
