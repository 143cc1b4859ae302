import Relay
import VoltlaneText

/// A relay to which limits by address apply, with a neighbour that is connected.
struct ProtectionScene {
  let rig: Rig
  let neighbour: RawClient

  init(_ layout: Layout, _ configure: (inout RelayConfiguration) -> Void) throws {
    rig = try Rig(layout) {
      $0.protection.limitsLoopback = true
      // The ends of clients that a test lets go of would come between others' packets.
      $0.halfCloseTimeout = .seconds(3600)
      configure(&$0)
    }
    neighbour = try RawClient(RawSocket(to: rig.test.endpoint, from: .neighbour))
  }

  func connect(from address: Endpoint = .offender) throws -> RawSocket {
    try RawSocket(to: rig.test.endpoint, from: address)
  }

  func client(from address: Endpoint = .offender) throws -> RawClient { try RawClient(connect(from: address)) }

  /// Whether a connection is refused before the relay says anything, and nobody else notices.
  func refuses(_ address: Endpoint = .offender, for metric: Metric) throws -> Bool {
    let before = rig.relay[metric]
    let socket = try connect(from: address)
    // It may be gone already.
    _ = try? socket.sendSome(RawClient.hello[...])
    let (answer, _) = try socket.receiveToEnd()
    return try answer == [] && rig.relay[metric] == before + 1 && rig.roundTrip(neighbour)
  }

  /// Whether a connection becomes a client, whose packets are carried both ways.
  func admits(_ address: Endpoint = .offender) throws -> Bool {
    guard let client = try? client(from: address) else { return false }
    return try rig.roundTrip(client)
  }

  /// Gives the running relay other settings, and returns when all its threads have taken them. Eight may wait for a
  /// thread: with the ninth in, the first has been taken.
  func reconfigure(_ configure: (inout RelayConfiguration) -> Void) -> Bool {
    var configuration = rig.relay.configuration
    configure(&configuration)
    return (0..<9).allSatisfy { _ in rig.test.eventually { rig.relay.reconfigure(configuration) } }
  }
}

extension Endpoint {
  /// The offender, somebody in its /24, and somebody elsewhere.
  static let offender = Endpoint.tcp(host: "127.0.0.2", port: 0)
  static let besideIt = Endpoint.tcp(host: "127.0.0.3", port: 0)
  static let neighbour = Endpoint.tcp(host: "127.9.0.1", port: 0)
}
