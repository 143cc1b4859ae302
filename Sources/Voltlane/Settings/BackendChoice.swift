import Relay

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
    let endpoint = try Settings.endpoint(text)
    if case .tcp(_, port: 0) = endpoint { throw .because("nobody can be reached at port 0") }
    self = .address(endpoint)
  }
}
