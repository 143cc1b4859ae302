import Foundation
import Testing
import VoltlaneText

/// A relay with an embedded echo and a control socket.
final class ControlScene {
  let relay: BuiltProgram.Running
  let folder: URL
  let address: String
  var path: String { folder.appendingPathComponent("control").path }
  var file: URL { folder.appendingPathComponent("relay.toml") }

  /// `file`: what the relay's file of settings has.
  init(file text: String? = nil) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var arguments = [
      "--listen", "127.0.0.1:0", "--backend", "echo", "--control",
      "unix:\(folder.appendingPathComponent("control").path)", "--shards", "2",
    ]
    if let text {
      let file = folder.appendingPathComponent("relay.toml")
      try Data(text.utf8).write(to: file)
      arguments += ["--config", file.path]
    }
    relay = try BuiltProgram.relay.start(arguments, in: folder)
    let log = relay.log(until: "backend connected")
    address = String(try #require(log.firstMatch(of: #/listening on (\S+)/#), "\(log)").1)
    #expect(log.contains("commands come over unix:\(path)"), "\(log)")
  }

  deinit {
    if relay.process.isRunning { kill(relay.process.processIdentifier, SIGKILL) }
    try? FileManager.default.removeItem(at: folder)
  }

  /// A client that is connected, and its id.
  func client() throws -> (program: BuiltProgram.Running, id: String) {
    let client = try BuiltProgram.client.start([address, "--wait", "0s", "--no-reconnect"])
    let log = client.log(until: "relay key")
    return (client, String(try #require(log.firstMatch(of: #/client id ([0-9a-f]{16})/#), "\(log)").1))
  }

  func run(_ arguments: [String]) throws -> BuiltProgram.Outcome {
    try BuiltProgram.control.run(arguments + ["--control", "unix:\(path)"])
  }

  /// What the relay answers to a command that it carries out.
  func ask(_ arguments: [String]) throws -> JSON {
    let outcome = try run(arguments + ["--json"])
    try #require(outcome.code == 0, "\(arguments): \(outcome)")
    return try JSON(reading: outcome.output)
  }

  /// The same without a program, for what is asked again and again.
  func status() throws -> JSON? {
    let peer = try Peer(path)
    peer.send(Array("{\"command\":\"status\"}\n".utf8))
    peer.finish()
    let answer = peer.readAll()
    return answer.isEmpty ? nil : try JSON(utf8: answer)["ok"]
  }

  func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    while relay.process.isRunning {
      if try condition() { return true }
      usleep(1000)
    }
    return false
  }

  /// Ends the relay in order. What it has logged since it was last asked.
  @discardableResult
  func end() -> String {
    relay.send(SIGTERM)
    let outcome = relay.finish()
    #expect(outcome.code == 0)
    return outcome.errors
  }

  /// A connection to the control socket that sends whatever a test likes.
  final class Peer {
    private let descriptor: Int32

    init(_ path: String) throws {
      descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(result == 0)
    }

    deinit { close(descriptor) }

    var isBlocking = true {
      didSet { _ = fcntl(descriptor, F_SETFL, isBlocking ? 0 : O_NONBLOCK) }
    }

    /// False once nothing is taken any more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
      }
      return true
    }

    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    func readAll() -> [UInt8] {
      var all: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return all }
        all += buffer[..<count]
      }
    }
  }
}
