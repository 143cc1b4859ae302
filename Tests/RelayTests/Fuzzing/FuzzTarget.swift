@testable import Relay

/// The places at which bytes from outside enter, each as a function that has to come back, whatever it is given.
///
/// A target traps where something is wrong: a trap of the code itself, or a `precondition` of the target's. libFuzzer
/// finds the inputs (tools/fuzz), and those that are worth keeping are run by every `swift test` (FuzzTests.swift). To
/// add a target: a case here, what it does in a file beside this one, and a folder of first inputs in Tests/Corpora.
enum FuzzTarget: String, CaseIterable {
  /// What clients, their networks and the clock do to a whole relay.
  case client
  /// What a backend sends to a whole relay.
  case backend
  /// What load balancers say of a connection.
  case proxy
  /// What the relay and the backend send each other, cut into packets.
  case tagged
  /// Handshake packets and the numbers in them.
  case packet
  /// What a relay says to the client library while they shake hands.
  case handshake
  /// Files of settings, with lists of networks.
  case toml
  /// Values of settings, of this program's and of those that connserver had.
  case setting
  /// The file in which a client keeps its session.
  case session
  /// The file in which the relay keeps its key.
  case identity
  /// What the admin endpoint is asked.
  case request
  /// What the control socket is sent.
  case command

  func run(_ bytes: [UInt8]) {
    switch self {
    case .client: FuzzRelay.runClients(bytes)
    case .backend: FuzzRelay.runBackend(bytes)
    case .proxy: FuzzWire.runProxyHeader(bytes)
    case .tagged: FuzzWire.runTaggedPackets(bytes)
    case .packet: FuzzWire.runHandshakePacket(bytes)
    case .handshake: FuzzWire.runClientHandshake(bytes)
    case .toml: FuzzText.runConfiguration(bytes)
    case .setting: FuzzText.runSetting(bytes)
    case .session: FuzzSession.run(bytes)
    case .identity: FuzzText.runIdentity(bytes)
    case .request: FuzzText.runAdminRequest(bytes)
    case .command: FuzzText.runCommand(bytes)
    }
  }
}
