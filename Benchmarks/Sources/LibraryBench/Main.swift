import Foundation
import VoltlaneBackend
import VoltlaneClient

/// What a library makes of a loop, written in different ways, in packets a second:
///
///     library-bench shout|send documented|detached|batches --seconds 0.5 --warmup 0.2
///     library-bench shout|send program --program 'python3 shout.py $PORT'
///
/// `shout` answers each packet of a relay with the same packet; `send` sends as fast as the library takes it. Relay and
/// the network's other end are threads of this process that write and check bytes and do nothing else, so that what is
/// measured is the library and the loop.
///
/// No parser of arguments: what is to be measured is a loop in `main`, which a parser's command is not.
@main struct LibraryBench {
  static func main() async throws {
    let plan: Plan
    do {
      plan = try Plan(CommandLine.arguments.dropFirst())
    } catch {
      FileHandle.standardError.write(Data("library-bench: \(error)\n".utf8))
      exit(64)
    }
    switch (plan.subject, plan.program) {
    case (.shout, nil): try await shout(plan)
    case (.send, nil): try await send(plan)
    case (.shout, let program?):
      let port = try RawRelay.freePort()
      let other = try OtherProgram(program, port: port)
      defer { other.end() }
      try await measure(plan, try other.dialled { try RawRelay(dialling: .tcp(host: "127.0.0.1", port: port)) }, other)
    case (.send, let program?):
      let relay = try RawRelay.listening()
      let other = try OtherProgram(program, port: relay.port)
      defer { other.end() }
      try await measure(plan, relay, other)
    }
  }

  private static func measure(_ plan: Plan, _ relay: RawRelay, _ other: OtherProgram) async throws {
    try await Meter(plan, relay, other) { other.end() }.report()
  }

  // MARK: - A backend

  @MainActor private static func shout(_ plan: Plan) async throws {
    let backend = try await Backend.listen(on: Endpoint("127.0.0.1:0"))
    let relay = try RawRelay(dialling: backend.address)
    let meter = Meter(plan, relay) { await backend.stop() }
    switch plan.loop {
    case .documented:
      // As the README has it.
      for await event in backend.events {
        switch event {
        case .data(let id, let packet): try? await backend.send(packet, to: id)
        default: break
        }
      }
    case .detached:
      await Task.detached {
        for await event in backend.events {
          switch event {
          case .data(let id, let packet): try? await backend.send(packet, to: id)
          default: break
          }
        }
      }.value
    case .program: break
    case .batches:
      for await batch in backend.batches {
        for event in batch {
          switch event {
          case .data(let id, let packet): try? await backend.send(packet, to: id)
          default: break
          }
        }
      }
    }
    try await meter.report()
  }

  // MARK: - A client

  @MainActor private static func send(_ plan: Plan) async throws {
    let relay = try RawRelay.listening()
    var options = ClientOptions()
    options.reconnection = nil
    let client = try await Client.connect(to: Endpoint("127.0.0.1:\(relay.port)"), options: options)
    let meter = Meter(plan, relay) { await client.close() }
    let packet = RawRelay.packet
    do {
      switch plan.loop {
      case .documented, .batches:
        while true { try await client.send(packet) }
      case .program: break
      case .detached:
        try await Task.detached { while true { try await client.send(packet) } }.value
      }
    } catch ClientError.closed {}
    try await meter.report()
  }
}
