import Foundation
import Testing
import VoltlaneText

@testable import Voltlane

/// The admin endpoint of a built relay, with clients.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct BuiltAdminTests {
  /// A relay with an echo behind it, and its admin endpoint.
  private final class Scene {
    let relay: BuiltProgram.Running
    let port: UInt16
    let admin: UInt16
    private var clients: [BuiltProgram.Running] = []

    init(_ arguments: [String] = []) throws {
      relay = try BuiltProgram.relay.start(
        ["--listen", "127.0.0.1:0", "--backend", "echo", "--admin", "127.0.0.1:0", "--shards", "2"] + arguments)
      let log = relay.log(until: "backend connected")
      func port(_ text: String) throws -> UInt16 {
        let line = try #require(log.split(separator: "\n").first { $0.contains(text) }, "\(log)")
        return try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
      }
      self.port = try port("listening on ")
      admin = try port("the admin endpoint is ")
    }

    deinit {
      for client in clients { kill(client.process.processIdentifier, SIGKILL) }
      relay.process.terminate()
    }

    /// A client that has sent a line and got it back.
    func join(_ line: String = "hello") throws {
      let client = try BuiltProgram.client.start(["127.0.0.1:\(port)"])
      client.input.fileHandleForWriting.write(Data("\(line)\n".utf8))
      var echo = ""
      while !echo.contains("\n") {
        let more = client.output.fileHandleForReading.availableData
        if more.isEmpty { break }
        echo += String(decoding: more, as: UTF8.self)
      }
      #expect(echo == "\(line)\n")
      clients.append(client)
    }

    func stopClient() { kill(clients[0].process.processIdentifier, SIGSTOP) }

    func leave() { clients.removeLast().process.terminate() }

    func get(_ path: String) throws -> HTTPSocket.Answer { try #require(try HTTPSocket(to: admin).get(path)) }

    func json(_ path: String) throws -> JSON {
      let answer = try get(path)
      #expect(answer.status == 200 && answer.fields["content-type"] == "application/json")
      return try JSON(reading: answer.body)
    }

    /// Series by name and labels.
    func metrics() throws -> [String: Double] {
      let answer = try get("/metrics")
      #expect(answer.status == 200)
      return try Exposition(answer.body).values
    }

    /// The first metrics for which `condition` holds.
    func metrics(when condition: ([String: Double]) -> Bool) throws -> [String: Double] {
      while true {
        let metrics = try metrics()
        if condition(metrics) { return metrics }
        usleep(10_000)
      }
    }
  }

  @Test func `metrics, variables and clients agree`() throws {
    let scene = try Scene()
    #expect(try scene.get("/readyz").body == "ready\n")
    for number in 0..<3 { try scene.join(String(repeating: "x", count: 10 * (number + 1))) }
    let metrics = try scene.metrics()
    #expect(metrics["voltlane_sessions_started_total"] == 3 && metrics["voltlane_clients"] == 3)
    #expect(metrics["voltlane_sessions{state=\"attached\"}"] == 3)
    #expect(metrics["voltlane_packets_total{direction=\"up\"}"] == 3)
    #expect(metrics["voltlane_bytes_total{direction=\"up\"}"] == 60)
    #expect(metrics["voltlane_ready"] == 1 && metrics["voltlane_draining"] == 0)
    #expect(metrics["voltlane_handshake_seconds_count"] == 3)
    // By shard they add up to the same.
    for (sum, part) in [("packets", "shard_packets"), ("bytes", "shard_bytes")] {
      for direction in ["up", "down"] {
        let parts = (0..<2).compactMap { metrics["voltlane_\(part)_total{shard=\"\($0)\",direction=\"\(direction)\"}"] }
        #expect(parts.count == 2)
        #expect(parts.reduce(0, +) == metrics["voltlane_\(sum)_total{direction=\"\(direction)\"}"])
      }
    }
    let varz = try scene.json("/varz")
    #expect(varz["clients"]?.integer == 3 && varz["ready"]?.bool == true && varz["state"]?.string == "running")
    #expect(varz["counters"]?["packets_up"]?.integer == 3 && varz["counters"]?["bytes_down"]?.integer == 60)
    #expect(varz["firehose"]?["state"]?.string == "connected")
    let roles = varz["threads"]?.array?.flatMap { $0["roles"]?.array ?? [] }.compactMap(\.string)
    #expect(Set(roles ?? []).isSuperset(of: ["shard 0", "shard 1", "firehose"]))
    #expect(varz["shards"]?.array?.count == 2)
    // Every metric of the page is there, and no other.
    let names = Set(metrics.keys.map { String($0.prefix { $0 != "{" }) })
    #expect(
      names.isSuperset(of: ["voltlane_build_info", "voltlane_turn_packets_bucket", "voltlane_thread_cpu_seconds_total"])
    )
    let clients = try scene.json("/clients?sort=bytes_up&order=desc")
    #expect(clients["total"]?.integer == 3 && clients["next"] == .null)
    #expect(clients["clients"]?.array?.compactMap { $0["bytes_up"]?.integer } == [30, 20, 10])
    for client in clients["clients"]?.array ?? [] {
      #expect(client["id"]?.string?.count == 16 && client["address"]?.string == "127.0.0.1")
      #expect(client["state"]?.string == "attached" && client["packets_down"]?.integer == 1)
    }
  }

  @Test func `clients are paged, sorted and filtered`() throws {
    let scene = try Scene()
    for number in 0..<5 { try scene.join("line \(number)") }
    var (ids, path) = ([String](), "/clients?top=2&sort=id")
    for page in 0..<3 {
      let answer = try scene.json(path)
      let rows = answer["clients"]?.array ?? []
      #expect(rows.count == (page < 2 ? 2 : 1) && answer["total"]?.integer == 5)
      ids += rows.compactMap { $0["id"]?.string }
      guard let next = answer["next"]?.string else { break }
      path = "/clients?top=2&sort=id&after=\(next)"
    }
    #expect(ids.count == 5 && ids == ids.sorted() && Set(ids).count == 5)
    #expect(try scene.json("/clients?id=\(ids[0])")["total"]?.integer == 1)
    #expect(try scene.json("/clients?address=127.0.0.0%2F8")["total"]?.integer == 5)
    #expect(try scene.json("/clients?address=192.0.2.1")["total"]?.integer == 0)
    #expect(try scene.json("/clients?state=stale")["total"]?.integer == 0)
    let sorted = try scene.json("/clients?top=2&sort=address&order=desc")
    #expect(sorted["next"]?.string != nil)
  }

  @Test func `sessions that ended and clients that were refused are told with reasons`() throws {
    let scene = try Scene(["--stale-timeout", "0", "--max-clients", "1"])
    try scene.join()
    let refused = try HTTPSocket(to: scene.port)
    #expect(refused.isClosed())
    scene.leave()
    let metrics = try scene.metrics { $0["voltlane_sessions_ended_total{reason=\"stale_timeout\"}"] == 1 }
    #expect(metrics["voltlane_clients_refused_total{reason=\"clients\"}"] == 1)
    let rows = try scene.json("/ended")["ended"]?.array ?? []
    #expect(rows.map { $0["kind"]?.string } == ["session", "refusal"])
    #expect(rows.map { $0["reason"]?.string } == ["stale_timeout", "clients"])
    #expect(rows[0]["bytes_up"]?.integer == 5 && rows[0]["id"]?.string?.count == 16 && rows[1]["id"] == .null)
  }

  @Test func `a relay without its backend, or on its way out, is not ready`() throws {
    let relay = try BuiltProgram.relay.start([
      "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", "--admin", "127.0.0.1:0",
    ])
    let log = relay.log(until: "backend not reached")
    let line = try #require(log.split(separator: "\n").first { $0.contains("the admin endpoint is ") }, "\(log)")
    let port = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
    let answer = try #require(try HTTPSocket(to: port).get("/readyz"))
    #expect(answer.status == 503 && answer.body.hasPrefix("not ready: no backend: "))
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
    // A client that has stopped keeps a relay from its end for some seconds.
    let scene = try Scene()
    try scene.join()
    scene.stopClient()
    #expect(try scene.get("/readyz").status == 200)
    scene.relay.send(SIGTERM)
    var body = ""
    while body != "not ready: draining\n" {
      body = try scene.get("/readyz").body
      usleep(1000)
    }
    #expect(try scene.metrics()["voltlane_draining"] == 1)
    #expect(try scene.json("/varz")["state"]?.string == "draining")
    scene.relay.send(SIGTERM)
    #expect(scene.relay.finish().code == 128 + SIGTERM)
  }

  /// The gradual drain as a load balancer and Prometheus see it, and its end.
  @Test func `a relay that lets its clients go is not ready, and says so`() throws {
    let scene = try Scene(["--drain-time", "24h", "--control", "unix:/tmp/voltlane-\(UUID().uuidString.prefix(8))"])
    try scene.join()
    #expect(try scene.metrics()["voltlane_draining"] == 0)
    scene.relay.send(SIGUSR2)
    var body = ""
    while body != "not ready: draining\n" {
      body = try scene.get("/readyz").body
      usleep(1000)
    }
    #expect(try scene.get("/livez").status == 200)
    let metrics = try scene.metrics()
    #expect(metrics["voltlane_draining"] == 1 && metrics["voltlane_ready"] == 0)
    #expect(metrics["voltlane_sessions{state=\"attached\"}"] == 1)
    let varz = try scene.json("/varz")
    #expect(varz["state"]?.string == "draining" && varz["ready"] == false && varz["ready_reason"] == "draining")
    #expect(try scene.json("/clients")["total"] == 1)
    scene.relay.send(SIGTERM)
    #expect(scene.relay.finish().code == 0)
  }

  @Test func `settings are told with their origin`() throws {
    let scene = try Scene(["--stale-timeout", "7m"])
    let settings = try scene.metrics().filter { $0.key.hasPrefix("voltlane_settings_info{") }
    #expect(settings.values.allSatisfy { $0 == 1 } && settings.count > 40)
    func series(_ setting: String, _ value: String, _ origin: String) -> String {
      "voltlane_settings_info{setting=\"\(setting)\",value=\"\(value)\",origin=\"\(origin)\"}"
    }
    #expect(settings[series("stale-timeout", "7m", "--stale-timeout")] == 1)
    #expect(settings[series("log-level", "info", "default")] == 1)
    // What was left to the program has the value that it chose.
    #expect(settings.keys.contains { $0.contains("setting=\"max-clients\"") && !$0.contains("auto") })
  }

  /// A successor with the same flags starts while the old relay drains, and has all of its addresses in the end.
  @Test func `a successor takes over whatever a relay that drains still has`() throws {
    let path = "/tmp/voltlane-\(UUID().uuidString.prefix(8))"
    let (control, clients) = ("unix:\(path).control", "unix:\(path).clients")
    let arguments = ["--control", control, "--listen", clients, "--drain-time", "24h"]
    let old = try Scene(arguments)
    try old.join()
    old.relay.send(SIGUSR2)
    #expect(old.relay.log(until: "draining over").contains("accepting nobody"))
    let successor = try BuiltProgram.relay.start(
      [
        "--listen", "127.0.0.1:\(old.port)", "--backend", "echo", "--admin", "127.0.0.1:\(old.admin)", "--shards", "2",
      ] + arguments)
    let start = successor.log(until: "backend connected")
    #expect(start.contains("--admin 127.0.0.1:\(old.admin): the address is in use, perhaps by a relay that drains"))
    #expect(start.contains("--control \(control): the address is in use"), "\(start)")
    // Newcomers are the successor's, and the operator still has the old one.
    let newcomer = try BuiltProgram.client.start([clients, "--wait", "0s", "--no-reconnect"])
    #expect(newcomer.log(until: "client id").contains("client id"))
    #expect(try old.json("/varz")["state"] == "draining" && old.json("/clients")["total"] == 1)
    let undrain = try BuiltProgram.control.run(["undrain", "--control", control])
    #expect(undrain.code == 1 && undrain.errors.contains("cannot accept again"), "\(undrain)")
    old.relay.send(SIGTERM)
    #expect(old.relay.finish().code == 0)
    var log = start
    while !log.contains("commands come over \(control)") || !log.contains("the admin endpoint is") {
      let more = successor.log(until: "\n")
      try #require(!more.isEmpty, "\(log)")
      log += more
    }
    let status = try BuiltProgram.control.run(["status", "--json", "--control", control])
    #expect(try JSON(reading: status.output)["pid"]?.integer == Int(successor.process.processIdentifier))
    while try HTTPSocket(to: old.admin).get("/readyz")?.body != "ready\n" { usleep(10_000) }
    successor.send(SIGTERM)
    #expect(successor.finish().code == 0)
    _ = newcomer.finish()
  }
}

/// The text format of Prometheus, read as strictly as its own tools do.
struct Exposition {
  /// Series with their labels, as they stand there.
  private(set) var values: [String: Double] = [:]

  struct Malformed: Error {
    let line: String
    let reason: String
  }

  init(_ text: String) throws(Malformed) {
    var (helped, typed) = (Set<String>(), [String: String]())
    var current = ""
    guard text.hasSuffix("\n") else { throw Malformed(line: "", reason: "the last line does not end") }
    for line in text.split(separator: "\n").map(String.init) {
      func fail(_ reason: String) -> Malformed { Malformed(line: line, reason: reason) }
      let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      if line.hasPrefix("# HELP ") {
        guard helped.insert(words[2]).inserted, words.count > 3 else { throw fail("a second help, or an empty one") }
        continue
      }
      if line.hasPrefix("# TYPE ") {
        guard typed[words[2]] == nil, words.count == 4, ["counter", "gauge", "histogram"].contains(words[3]) else {
          throw fail("a second type, or an unknown one")
        }
        current = words[2]
        typed[current] = words[3]
        continue
      }
      guard let match = line.wholeMatch(of: /([a-z_0-9]+)(\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})? ([-0-9.]+)/),
        let value = Double(match.3)
      else { throw fail("not a series") }
      var family = String(match.1)
      if typed[current] == "histogram" {
        for ending in ["_bucket", "_sum", "_count"] where family == current + ending { family = current }
      }
      guard family == current, helped.contains(family) else { throw fail("apart from its help and type") }
      let series = String(match.1) + String(match.2 ?? "")
      guard values.updateValue(value, forKey: series) == nil else { throw fail("twice") }
    }
    try checkHistograms(typed.filter { $0.value == "histogram" }.map(\.key), in: text)
  }

  /// Buckets grow, and the last one has all values.
  private func checkHistograms(_ names: [String], in text: String) throws(Malformed) {
    for name in names {
      let buckets = text.split(separator: "\n").filter { $0.hasPrefix("\(name)_bucket{") }
        .compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
      guard buckets == buckets.sorted(), let last = buckets.last, last == values["\(name)_count"] else {
        throw Malformed(line: name, reason: "its buckets do not add up")
      }
    }
  }
}
