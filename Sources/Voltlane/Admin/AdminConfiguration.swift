import Relay
import VoltlaneText

/// Where the admin endpoint listens, and who may connect to it.
struct AdminConfiguration: Sendable {
  /// nil: there is none.
  var endpoint: Endpoint?
  /// Addresses that may connect. If there are none, those of the loopback.
  var allowed: [Network] = []

  /// Whether nobody but this machine's processes reach the endpoint, as far as its text tells.
  static func isLocal(_ endpoint: Endpoint) -> Bool {
    guard case .tcp(let host, _) = endpoint else { return true }
    if host.lowercased() == "localhost" { return true }
    guard let network = try? Network(host) else { return false }
    return Network.cover(loopback, [network])
  }

  static let loopback = ["127.0.0.0/8", "::1"].compactMap { try? Network($0) }
}

/// Sizes and times of the admin endpoint. They bound what a slow or hostile client of it may hold.
enum AdminLimits {
  /// Connections at a time. One more takes the place of the one that has been idle for the longest.
  static let connections = 64
  /// Descriptors that the endpoint may take while the relay runs: a connection is accepted before one gives way to it.
  static let descriptors = connections + 2
  /// Connections that the kernel keeps for it until they are accepted.
  static let backlog = 128
  /// Bytes of one header field, and of all of a request. Browsers send less than a kilobyte.
  static let headerField = 8 * 1024
  static let headers = 16 * 1024
  static let headerCount = 64
  /// Bytes that may arrive before an answer has been given: some requests, pipelined.
  static let unanswered = 64 * 1024
  /// How long a new connection may take for its first request.
  static let requestSeconds: Int64 = 10
  /// How long a connection may stay without a request, after one.
  static let idleSeconds: Int64 = 60
  /// How long an answer may take, until the client has all of it.
  static let answerSeconds: Int64 = 30
  /// Questions to the shards that may wait or be under way. One more is told to come back later.
  static let questions = 4
  /// Rows of a page of clients, if none or at most so many are asked for, and of sessions that ended.
  static let standardRows = 100
  static let mostClients = 1000
  static let mostEnded = 10_000
}
