import Foundation
import NIOPosix
import VoltlaneClient

/// A client of the chat: lines that are typed are sent, and lines from others are printed.
///
///     ChatClient 127.0.0.1:42000
@main
struct ChatClient {
  static func main() async {
    let arguments = CommandLine.arguments.dropFirst()
    do {
      guard arguments.count <= 1 else { throw EndpointError.invalidHost(arguments.joined(separator: " ")) }
      try await chat(at: arguments.first ?? "127.0.0.1:42000")
    } catch let error as EndpointError {
      // EX_USAGE of sysexits.h.
      tell("ChatClient: \(error)")
      exit(64)
    } catch {
      tell("\(error)")
      exit(1)
    }
  }

  private static func chat(at address: String) async throws {
    let client = try await Client.connect(to: try Endpoint(address))
    tell("connected as client \(String(clientID: client.clientID))")

    let states = Task {
      for await state in client.states { tell(state) }
    }
    let typing = Task {
      while let line = try await NIOThreadPool.singleton.runIfActive({ readLine() }) {
        try await client.send(Array(line.utf8))
      }
      try await client.finish()
    }
    for try await packet in client.packets { write(String(buffer: packet), to: .standardOutput) }
    typing.cancel()
    await states.value
  }

  private static func tell(_ state: ClientState) {
    switch state {
    case .connected: break
    case .reconnecting(1, let cause): tell("\(cause); what you type is kept")
    case .reconnecting: break
    case .reconnected: tell("back again")
    case .over: tell("the chat is over")
    }
  }

  /// Next to the chat, not in it.
  private static func tell(_ text: String) {
    write(text, to: .standardError)
  }

  /// At once, which `print` does only on a terminal.
  private static func write(_ line: String, to file: FileHandle) {
    file.write(Data("\(line)\n".utf8))
  }
}
