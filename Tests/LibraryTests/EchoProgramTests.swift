import Foundation
import Testing
import VoltlaneNIO
import VoltlaneSettings
import VoltlaneText

@Suite(.timeLimit(.minutes(10))) struct EchoProgramTests {
  @Test func saysWhereItListensAndEchoes() async throws {
    let program = try Program("voltlane-echo", ["--listen", "127.0.0.1:0"])
    let prefix = "voltlane-echo: listening on "
    let line = try await program.firstError()
    #expect(line.hasPrefix(prefix))
    let address = try Endpoint(String(line.dropFirst(prefix.count)))
    let relay = try await BytePeer.connect(to: address)
    let packet = tagged(1, .data, [1, 2, 3])
    try await relay.write(packet)
    #expect(await relay.read(packet.count) == packet)

    let second = try await Program("voltlane-echo", ["--listen", address.description]).end()
    #expect(second.status == 69)
    #expect(second.errors == "voltlane-echo: cannot listen on \(address): the address is in use\n")

    program.terminate()
    #expect(try await program.end().status == 0)
    #expect(await relay.readToEnd() == [])
  }

  @Test(arguments: [SIGTERM, SIGINT, SIGHUP]) func aSignalEndsItAndItsSocket(signal: Int32) async throws {
    let path = "/tmp/voltlane-echo-\(UInt64.random(in: 0 ... .max)).sock"
    let program = try Program("voltlane-echo", ["--listen", "unix:\(path)"])
    #expect(try await program.firstError() == "voltlane-echo: listening on unix:\(path)")
    #expect(FileManager.default.fileExists(atPath: path))
    program.send(signal)
    #expect(try await program.end().status == 0)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func tellsItsVersionAndItsDefaults() async throws {
    #expect(try await Program("voltlane-echo", ["--version"]).end().output == "\(Version.current)\n")
    #expect(try await Program("voltlane-echo", ["--help"]).end().output.contains("(default: 127.0.0.1:42001)"))
  }

  @Test(arguments: [("--listen", "nonsense"), ("--max-packet-size", "-1"), ("--max-packet-size", "0")])
  func wrongUsage(setting: String, value: String) async throws {
    let (status, _, errors) = try await Program("voltlane-echo", [setting, value]).end()
    #expect(status == 64)
    #expect(errors.hasPrefix("Error: \(setting): '\(value)' is not allowed"), "\(errors)")
    #expect(errors.contains(". Allowed: "))
  }

  @Test func anArgumentTooMany() async throws {
    #expect(try await Program("voltlane-echo", ["more"]).end().status == 64)
  }
}
