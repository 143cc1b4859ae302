/// Where something listens or can be reached, as people write it: ``forms``.
public enum Endpoint: Hashable, Sendable {
  /// A name or an address, without brackets. Port 0 is for listening on any free port.
  case tcp(host: String, port: UInt16)
  /// The absolute path of a unix stream socket.
  case unix(path: String)

  /// What may be written, for errors and help.
  public static let forms = "host:port, [v6 address]:port or unix:/path"

  /// Bytes of the longest path that the kernel accepts for a unix socket (its `sun_path`, minus the final zero).
  public static let longestPath = 107

  /// Reads one of the ``forms``, which is also what ``description`` writes.
  public init(_ text: String) throws(EndpointError) {
    let scheme = "unix:"
    if text.hasPrefix(scheme) {
      self = .unix(path: try Self.path(String(text.dropFirst(scheme.count))))
      return
    }
    guard let colon = text.lastIndex(of: ":") else { throw .missingPort(text) }
    let port = text[text.index(after: colon)...]
    // UInt16 would accept a sign as well.
    guard port.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let number = UInt16(port)
    else { throw .invalidPort(String(port)) }
    self = .tcp(host: try Self.host(String(text[..<colon])), port: number)
  }

  private static func path(_ path: String) throws(EndpointError) -> String {
    guard path.hasPrefix("/"), path.utf8.count > 1, !path.utf8.contains(0) else { throw .invalidPath(path) }
    guard path.utf8.count <= longestPath else { throw .pathTooLong(path) }
    return path
  }

  private static func host(_ text: String) throws(EndpointError) -> String {
    if text.hasPrefix("["), text.hasSuffix("]") {
      let address = String(text.dropFirst().dropLast())
      guard address.contains(":"), isHost(address) else { throw .invalidHost(text) }
      return address
    }
    // Without brackets nobody can tell where an IPv6 address ends and its port begins.
    guard !text.contains(":") else { throw .missingBrackets(text) }
    guard !text.isEmpty, isHost(text) else { throw .invalidHost(text) }
    return text
  }

  private static func isHost(_ text: String) -> Bool {
    !text.contains { $0 == "[" || $0 == "]" || $0 == "/" || $0.isWhitespace || $0 == "\0" }
  }
}

extension Endpoint: CustomStringConvertible {
  /// What ``init(_:)`` reads.
  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}

/// Why a text is not an endpoint.
public enum EndpointError: Error, Equatable, Sendable {
  case missingPort(String)
  case invalidPort(String)
  case invalidHost(String)
  case missingBrackets(String)
  case invalidPath(String)
  case pathTooLong(String)
}

extension EndpointError: CustomStringConvertible {
  public var description: String { "no address: \(reason); write \(Endpoint.forms)" }

  /// For a message that already has the text and what is allowed.
  package var reason: String {
    switch self {
    case .missingPort: "it has no port"
    case .invalidPort(let port): "'\(port)' is not a port, which is a number from 0 to 65535"
    case .invalidHost(let host): "'\(host)' is not a host"
    case .missingBrackets(let address): "an IPv6 address needs brackets, as in [\(address)]:42000"
    case .invalidPath: "the path of a unix socket must be absolute, as in unix:/run/voltlane/clients.sock"
    case .pathTooLong(let path):
      "the path of a unix socket has at most \(Endpoint.longestPath) bytes, not \(path.utf8.count)"
    }
  }
}
