import NIOCore
import VoltlaneBackend

/// The backend of the interop tests, driven by lines.
final class BackendPeer {
  private var backend: Backend?
  private var waiting = Waiting()

  func answer(_ command: Substring, _ words: [Substring]) async -> String {
    do {
      if command == "listen", words.count == 1 { return try await listen(on: Endpoint(String(words[0]))) }
      guard let backend else { return "error closed there is no backend" }
      switch (command, words.count) {
      case ("receive", 1): return await waiting.next(within: Int(words[0]) ?? 0) ?? "timeout"
      case ("send", 2), ("volatile", 2):
        guard let id = UInt64(clientID: words[0]), let packet = packet(words[1]) else { return "error other no data" }
        try await backend.send(packet, to: id, command == "volatile" ? .volatile : .kept)
        return "ok"
      case ("multicast", 3):
        let ids = words[1].split(separator: ",").compactMap { UInt64(clientID: $0) }
        guard let packet = packet(words[2]) else { return "error other no data" }
        try await backend.multicast(packet, to: ids, words[0] == "volatile" ? .volatile : .kept)
        return "ok"
      case ("kick", 1):
        guard let id = UInt64(clientID: words[0]) else { return "error other no id" }
        try await backend.kick(id)
        return "ok"
      case ("close", 0):
        await backend.stop()
        self.backend = nil
        return "ok"
      default: return "error unsupported the library has no \(command)"
      }
    } catch {
      return describe(error)
    }
  }

  private func listen(on endpoint: Endpoint) async throws -> String {
    await backend?.stop()
    let backend = try await Backend.listen(on: endpoint)
    self.backend = backend
    let waiting = Waiting()
    self.waiting = waiting
    let events = backend.events
    Task.detached {
      for await event in events {
        switch event {
        case .data(let id, let packet): waiting.append("data \(String(clientID: id)) \(summary(packet))")
        case .failure(let id, let reason): waiting.append("failure \(String(clientID: id)) \(reason)")
        case .reconnection(let id): waiting.append("reconnection \(String(clientID: id))")
        case .away(let id): waiting.append("away \(String(clientID: id))")
        case .address(let id, .tcp(let host, let port)):
          waiting.append("address \(String(clientID: id)) \(host.contains(":") ? 6 : 4) \(host) \(port)")
        case .address(let id, _): waiting.append("address \(String(clientID: id)) 0 - 0")
        default: break
        }
      }
    }
    guard case .tcp(_, let port) = backend.address else { return "error other no TCP" }
    return "ok \(port)"
  }
}

private func describe(_ error: any Error) -> String {
  let word =
    switch error as? BackendError {
    case .notConnected: "not-connected"
    case .packetTooLarge: "too-large"
    case .cannotListen: "unreachable"
    default: "other"
    }
  return "error \(word) \(error)"
}
