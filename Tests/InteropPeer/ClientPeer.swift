import Glibc
import NIOCore
import VoltlaneClient
import VoltlaneText

/// The client of the interop tests, driven by lines.
final class ClientPeer {
  private var client: Client?
  private var waiting = Waiting()

  func answer(_ command: Substring, _ words: [Substring]) async -> String {
    do {
      switch (command, words.count) {
      case ("connect", 2):
        return try await begin(mode: words[1]) { try await Client.connect(to: Endpoint(String(words[0])), options: $0) }
      case ("resume", 3):
        guard let session = session(String(words[1])) else { return "error invalid-session \(words[1])" }
        return try await begin(mode: words[2]) {
          try await Client.resume(session, to: Endpoint(String(words[0])), options: $0)
        }
      default: break
      }
      guard let client else { return "error closed there is no client" }
      switch (command, words.count) {
      case ("save", 1): return save(client.session, String(words[0])) ? "ok" : "error other cannot save"
      case ("send", 1):
        guard let packet = packet(words[0]) else { return "error other no data" }
        try await client.send(packet)
        return "ok"
      case ("receive", 1): return await waiting.next(within: Int(words[0]) ?? 0) ?? "timeout"
      case ("finish", 0):
        try await client.finish()
        return "ok"
      case ("close", 0):
        await client.close()
        self.client = nil
        return "ok"
      default: return "error unsupported no such command"
      }
    } catch {
      return describe(error)
    }
  }

  private func begin(mode: Substring, _ connect: (ClientOptions) async throws -> Client) async throws -> String {
    await client?.close()
    client = nil
    let reconnection = ClientOptions.Reconnection(firstDelay: .milliseconds(50), lastDelay: .milliseconds(500))
    let client = try await connect(ClientOptions(reconnection: mode == "auto" ? reconnection : nil))
    self.client = client
    let waiting = Waiting()
    self.waiting = waiting
    let packets = client.packets
    Task.detached {
      do {
        for try await packet in packets { waiting.append("packet \(summary(packet))") }
        waiting.append("closed")
      } catch {
        waiting.append(describe(error))
      }
    }
    return "ok \(String(clientID: client.clientID)) \(hexadecimal(client.relayPublicKey))"
  }

  private func save(_ session: ClientSession, _ path: String) -> Bool {
    let text = """
      voltlane session 1
      client-id \(String(clientID: session.clientID))
      secret-key \(hexadecimal(session.secretKey))
      relay-key \(hexadecimal(session.relayKey))

      """
    unlink(path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    guard descriptor >= 0 else { return false }
    defer { Glibc.close(descriptor) }
    return write(descriptor, text, text.utf8.count) == text.utf8.count
  }

  private func session(_ path: String) -> ClientSession? {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { Glibc.close(descriptor) }
    var content = [UInt8](repeating: 0, count: 1024)
    let count = read(descriptor, &content, content.count)
    let lines = String(decoding: content.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n")
    guard lines.count == 4, let id = lines[1].split(separator: " ").last.flatMap({ UInt64(clientID: $0) }),
      let secret = lines[2].split(separator: " ").last.flatMap({ bytes(hexadecimal: $0) }),
      let relay = lines[3].split(separator: " ").last.flatMap({ bytes(hexadecimal: $0) })
    else { return nil }
    return ClientSession(clientID: id, secretKey: secret, relayKey: relay)
  }
}

private func describe(_ error: any Error) -> String {
  guard let error = error as? ClientError else { return "error other \(error)" }
  let word =
    switch error {
    case .unreachable: "unreachable"
    case .timeout: "timeout"
    case .closedDuringHandshake: "closed-during-handshake"
    case .malformedHandshake, .unexpectedHandshakePacket, .invalidRelayKey, .oversizedPacket: "protocol"
    case .wrongRelayKey: "wrong-relay-key"
    case .sessionOver: "session-over"
    case .refused: "refused"
    case .invalidChallenge: "invalid-challenge"
    case .gaveUp: "gave-up"
    case .invalidSession: "invalid-session"
    case .connectionLost: "connection-lost"
    case .packetTooLarge: "too-large"
    case .closed: "closed"
    default: "other"
    }
  return "error \(word) \(error)".replacing("\n", with: " ")
}
