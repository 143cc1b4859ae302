import Foundation
import LobbyPackets
import VoltlaneBackend

/// A lobby on a Voltlane backend, which may be restarted at any time, as may the relay and the members.
///
///     LobbyServer 127.0.0.1:42001
///     voltlane --backend 127.0.0.1:42001 --identity relay.key
///     LobbyBot 127.0.0.1:42000 ada ada.session 1000
@main
struct LobbyServer {
  static func main() async {
    do {
      let backend = try await Backend.listen(on: Endpoint(CommandLine.arguments.dropFirst().first ?? "127.0.0.1:42001"))
      print("listening on \(backend.address)")
      fflush(nil)
      var lobby = Lobby()
      for await event in backend.events {
        if case .warning(let warning) = event { FileHandle.standardError.write(Data("\(warning)\n".utf8)) }
        for action in lobby.handle(event) { await perform(action, on: backend) }
      }
    } catch {
      FileHandle.standardError.write(Data("LobbyServer: \(error)\n".utf8))
      exit(69)
    }
  }

  private static func perform(_ action: Lobby.Action, on backend: Backend) async {
    do {
      switch action {
      case .send(let id, let packet): try await backend.send(PacketCoder.encode(packet), to: id)
      case .kick(let id): try await backend.kick(id)
      }
    } catch {
      // The relay is away. Whatever matters will be said again.
    }
  }
}
