import Relay
import VoltlaneSettings

/// What stands behind the firehose.
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
