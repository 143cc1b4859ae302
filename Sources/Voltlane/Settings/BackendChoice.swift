import Relay
import VoltlaneSettings

/// What the firehose connects to.
enum BackendChoice: Equatable, Sendable {
  case address(Endpoint)
  /// A backend in this process that sends every packet back.
  case echo

  init(_ text: String) throws(Refusal) {
    if text == "echo" {
      self = .echo
      return
    }
    self = .address(try Settings.reachableEndpoint(text))
  }
}
