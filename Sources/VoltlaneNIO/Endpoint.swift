/// Where something listens or is to be reached: `host:port`, `[v6 address]:port` or `unix:/path`.
public enum Endpoint: Hashable, Sendable {
  /// `host` is a name or an address, without brackets. Port 0 asks a listener for any free port.
  case tcp(host: String, port: UInt16)
  /// A unix stream socket in the file system.
  case unix(path: String)

  /// Reads the text form, which is also what ``description`` writes.
  public init(_ text: String) throws(EndpointError) {
    if let path = text.removing(prefix: "unix:") {
      guard !path.isEmpty else { throw .missingPath }
      self = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":") else { throw .missingPort(text) }
    let digits = text[text.index(after: colon)...]
    guard digits.allSatisfy(\.isASCIIDigit), let port = UInt16(digits) else { throw .invalidPort(String(digits)) }
    self = .tcp(host: try Self.host(String(text[..<colon]), of: text), port: port)
  }

  private static func host(_ written: String, of text: String) throws(EndpointError) -> String {
    if written.hasPrefix("["), written.hasSuffix("]") {
      let address = String(written.dropFirst().dropLast())
      guard address.contains(":") else { throw .invalidHost(written) }
      return address
    }
    // Without brackets nobody can tell where an IPv6 address ends and its port begins.
    guard !written.contains(":") else { throw .missingBrackets(text) }
    guard !written.isEmpty, !written.contains(where: { $0 == "[" || $0 == "]" || $0.isWhitespace }) else {
      throw .invalidHost(written)
    }
    return written
  }
}

extension Endpoint: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}

/// Why a text names no endpoint.
public enum EndpointError: Error, Equatable, Sendable {
  case missingPort(String)
  case invalidPort(String)
  case invalidHost(String)
  case missingBrackets(String)
  case missingPath
}

extension EndpointError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missingPort(let text): "'\(text)' has no port; write host:port, [v6 address]:port or unix:/path"
    case .invalidPort(let port): "'\(port)' is no port; a port is a number from 0 to 65535"
    case .invalidHost(let host): "'\(host)' is no host; write host:port, [v6 address]:port or unix:/path"
    case .missingBrackets(let text): "'\(text)' is ambiguous; write an IPv6 address in brackets, as in [::1]:42000"
    case .missingPath: "'unix:' wants the path of a socket after it, as in unix:/run/voltlane.sock"
    }
  }
}

extension String {
  fileprivate func removing(prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
