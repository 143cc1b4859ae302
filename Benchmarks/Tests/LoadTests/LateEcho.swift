import Foundation

@testable import Load

/// A plain echo service, for one test, that gives back what it got only when nothing has come for a while; or never.
final class LateEcho: Sendable {
  /// How long nothing must have come.
  static let silence: UInt64 = 300_000_000

  let address: Address
  private let path: String
  private let listener: Int32

  init(answers: Bool) throws {
    path = NSTemporaryDirectory() + "late-echo-\(UUID().uuidString)"
    address = try Address("unix:\(path)")
    let listener = try Socket.listen(at: address, congestionControl: nil)
    self.listener = listener
    Thread { LateEcho.serve(listener, answers) }.start()
  }

  deinit {
    // Wakes a thread that still waits for its client.
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    unlink(path)
  }

  /// Serves one client until it closes.
  private static func serve(_ listener: Int32, _ answers: Bool) {
    _ = isReadable(listener, milliseconds: -1)
    let accepted = Socket.accept(listener)
    guard let client = accepted else { return }
    defer { close(client) }
    var held: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 65536)
    while true {
      guard isReadable(client, milliseconds: held.isEmpty ? -1 : Int32(silence / 1_000_000)) else {
        guard send(client, held, held.count, Int32(MSG_NOSIGNAL)) == held.count else { return }
        held = []
        continue
      }
      let count = recv(client, &bytes, bytes.count, 0)
      guard count > 0 else { return }
      if answers { held += bytes[..<count] }
    }
  }

  private static func isReadable(_ fd: Int32, milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, milliseconds) > 0
  }

  /// Measures this service, which lives at least until the measurement is over.
  func measure(_ plan: LoadPlan) throws -> LoadReport { try LoadRun.measure(plan) }

  /// A short plan at a rate, for one client.
  func plan() -> LoadPlan {
    var plan = LoadPlan(mode: .echo, relay: address, backend: nil)
    plan.isPlain = true
    plan.sizes = PacketSizes(64)
    plan.pace = .rate(500)
    plan.length = .seconds(0.1)
    plan.warmup = 0
    plan.drainTimeout = 30
    return plan
  }
}
