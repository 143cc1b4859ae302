import Testing
import VoltlaneNIO
import VoltlaneText

@Suite(.timeLimit(.minutes(1))) struct EchoProgramTests {
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
    _ = try await program.end()
    #expect(await relay.readToEnd() == [])
  }

  @Test(arguments: [["--listen", "nonsense"], ["--max-packet-size", "-1"], ["more"]])
  func wrongUsage(arguments: [String]) async throws {
    #expect(try await Program("voltlane-echo", arguments).end().status == 64)
  }
}
