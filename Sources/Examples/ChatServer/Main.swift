import Foundation
import VoltlaneBackend

/// A chat on a Voltlane backend: whatever a client sends, all others read.
///
///     ChatServer 127.0.0.1:42001
///     voltlane --listen 0.0.0.0:42000 --backend 127.0.0.1:42001
///     ChatClient 127.0.0.1:42000
@main
struct ChatServer {
  static func main() async {
    let arguments = CommandLine.arguments.dropFirst()
    do {
      guard arguments.count <= 1 else { throw EndpointError.invalidHost(arguments.joined(separator: " ")) }
      try await serve(at: arguments.first ?? "127.0.0.1:42001")
    } catch let error as EndpointError {
      // EX_USAGE of sysexits.h.
      tell("ChatServer: \(error)")
      exit(64)
    } catch {
      tell("\(error)")
      exit(1)
    }
  }

  private static func serve(at address: String) async throws {
    let backend = try await Backend.listen(on: try Endpoint(address))
    tell("listening on \(backend.address)")
    var room = Room()
    for await event in backend.events {
      for action in room.handle(event) { await perform(action, on: backend) }
    }
  }

  private static func tell(_ text: String) {
    FileHandle.standardError.write(Data("\(text)\n".utf8))
  }

  private static func perform(_ action: Room.Action, on backend: Backend) async {
    do {
      switch action {
      case .tell(let id, let text): try await backend.send(Array(text.utf8), to: id)
      case .kick(let id): try await backend.kick(id)
      }
    } catch {
      // The relay is away. A chat can afford to lose a line; anything that must not get lost would be kept, and sent
      // after `.connected`.
    }
  }
}
