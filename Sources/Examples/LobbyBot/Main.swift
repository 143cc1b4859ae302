import Foundation
import LobbyPackets
import VoltlaneClient

/// A member of the lobby that says a number of lines, waits until each is confirmed, and checks what it hears:
///
///     LobbyBot 127.0.0.1:42000 ada ada.session 1000
///
/// It prints `confirmed N` for each line, and says goodbye at the end. It may be killed at any time and started again
/// with the same session file; so may the relay and the server.
@main
struct LobbyBot {
  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.count == 4, let last = Int(arguments[3]), last > 0 else {
      tell("usage: LobbyBot ADDRESS NAME SESSION-FILE LINES")
      exit(64)
    }
    do {
      let store = FileSessionStore(path: arguments[2])
      var talk = Talk(name: arguments[1], last: last)
      // Once for each session: a relay that was restarted has no old ones.
      while !talk.isDone { try await join(at: Endpoint(arguments[0]), store, &talk) }
      print("done")
    } catch {
      tell("LobbyBot: \(error)")
      exit(1)
    }
  }

  private static func join(at relay: Endpoint, _ store: FileSessionStore, _ talk: inout Talk) async throws {
    var options = ClientOptions()
    let ping = PacketCoder.encode(MemberPacket.ping)
    options.heartbeat = .init(
      packet: Array(ping.readableBytesView), interval: .seconds(1), answerWithin: .seconds(10))
    options.reconnection = .init(lastDelay: .seconds(1))
    let client = try await Client.open(at: relay, store: store, options: options) { _, cause in tell("\(cause)") }
    tell("\(client.origin), client \(String(clientID: client.clientID))")
    // A line may be lost whenever a connection is lost, here or behind the relay, so it is said again.
    let repeating = Task {
      for await state in client.states { if state == .reconnected { try await client.send(ping) } }
    }
    defer { repeating.cancel() }
    try await client.send(PacketCoder.encode(talk.begin()))
    do {
      for try await bytes in client.packets {
        guard let packet = PacketCoder.decode(LobbyPacket.self, bytes) else { continue }
        let before = talk.confirmed
        for answer in try talk.hear(packet) { try await client.send(PacketCoder.encode(answer)) }
        // The answer to a heartbeat, which was due because nothing was confirmed for a while.
        if packet == .pong { try await client.send(PacketCoder.encode(talk.again())) }
        if talk.confirmed > before { say("confirmed \(talk.confirmed)") }
        if talk.isDone { break }
      }
    } catch ClientError.sessionOver {
      return tell("the session is over; a new one begins")
    }
    if talk.isDone {
      try await client.send(PacketCoder.encode(MemberPacket.goodbye))
      // The server kicks, the relay closes, and the session is over, as intended.
      do { for try await _ in client.packets {} } catch ClientError.sessionOver {}
    }
  }

  private static func say(_ line: String) {
    print(line)
    fflush(nil)
  }

  private static func tell(_ line: String) {
    FileHandle.standardError.write(Data("\(line)\n".utf8))
  }
}
