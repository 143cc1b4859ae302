import NIOHTTP1
import Relay

/// A request to the admin endpoint, as far as it is well-formed and may be answered.
struct AdminRequest: Sendable {
  let path: String
  let query: [(name: String, value: String)]
  let isHead: Bool

  /// Why a request is refused. Its connection is closed after the answer.
  struct Refused: Error, Equatable {
    let status: HTTPResponseStatus
    let reason: String
  }

  /// `ownName`: the name in --admin, if it has one. `isLocalSocket`: the request came over a unix socket.
  init(_ head: HTTPRequestHead, ownName: String?, isLocalSocket: Bool) throws(Refused) {
    guard head.method == .GET || head.method == .HEAD else {
      throw Refused(status: .methodNotAllowed, reason: "only GET and HEAD are answered")
    }
    guard head.version.major == 1 else { throw Refused(status: .httpVersionNotSupported, reason: "this is HTTP/1.1") }
    guard head.headers["transfer-encoding"].isEmpty, head.headers["content-length"].allSatisfy({ $0 == "0" }) else {
      throw Refused(status: .payloadTooLarge, reason: "a request has no body here")
    }
    try Self.checkHost(head, ownName: ownName, isLocalSocket: isLocalSocket)
    try Self.checkSite(head)
    try self.init(uri: head.uri, isHead: head.method == .HEAD)
  }

  /// For what a request asks, wherever it comes from.
  init(uri: String, isHead: Bool = false) throws(Refused) {
    guard uri.utf8.first == UInt8(ascii: "/") else {
      throw Refused(status: .badRequest, reason: "the path does not begin with /")
    }
    let parts = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    path = String(parts[0])
    query = try Self.query(parts.count == 2 ? parts[1] : "")
    self.isHead = isHead
  }

  // MARK: Host

  /// A page of a stranger may have its own name lead to this machine and ask the relay through the operator's browser
  /// (DNS rebinding). Such a request names the stranger's host: what names an address, localhost or the endpoint's own
  /// name cannot be one.
  /// A page of another site that a browser has open could not read the answers, but could ask without end.
  private static func checkSite(_ head: HTTPRequestHead) throws(Refused) {
    guard let site = head.headers.first(name: "sec-fetch-site"), site != "same-origin", site != "none" else { return }
    throw Refused(status: .forbidden, reason: "a page of another site asks")
  }

  private static func checkHost(_ head: HTTPRequestHead, ownName: String?, isLocalSocket: Bool) throws(Refused) {
    let hosts = head.headers["host"]
    guard hosts.count < 2 else { throw Refused(status: .badRequest, reason: "there is more than one Host") }
    guard let host = hosts.first else {
      if head.version.minor == 0 || isLocalSocket { return }
      throw Refused(status: .badRequest, reason: "the Host is missing")
    }
    guard isLocalSocket || isKnown(host, ownName: ownName) else {
      throw Refused(
        status: .misdirectedRequest,
        reason: "the Host is neither an address nor localhost, nor the name that --admin gives")
    }
  }

  static func isKnown(_ host: String, ownName: String?) -> Bool {
    guard let name = nameOf(host) else { return false }
    if name == "localhost" || name == ownName?.lowercased() { return true }
    guard !name.contains("/") else { return false }
    return (try? Network(name)) != nil
  }

  /// The host without its port and brackets, in lower case; nil if it is none.
  private static func nameOf(_ host: String) -> String? {
    let text = host.lowercased()
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]"), isPort(text[text.index(after: end)...]) else { return nil }
      let address = text[text.index(after: text.startIndex)..<end]
      return address.contains(":") ? String(address) : nil
    }
    let name = text.prefix { $0 != ":" }
    guard isPort(text[name.endIndex...]), !name.isEmpty else { return nil }
    return String(name)
  }

  /// Nothing, or a colon and digits.
  private static func isPort(_ text: Substring) -> Bool {
    text.isEmpty || text.first == ":" && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  // MARK: The query

  private static func query(_ text: Substring) throws(Refused) -> [(name: String, value: String)] {
    var query: [(name: String, value: String)] = []
    for part in text.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = decoded(pair[0]), let value = decoded(pair.count == 2 ? pair[1] : "") else {
        throw Refused(status: .badRequest, reason: "the query is not percent-encoded UTF-8")
      }
      query.append((name, value))
    }
    return query
  }

  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        let digits = rest.prefix(2)
        guard digits.count == 2, let value = UInt8(String(Substring(digits)), radix: 16),
          digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
        else { return nil }
        rest = rest.dropFirst(2)
        bytes.append(value)
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

/// What a page is asked for, taken one after the other; what is left over is a mistake.
struct AdminParameters {
  private var left: [(name: String, value: String)]

  init(_ request: AdminRequest) { left = request.query }

  struct Wrong: Error {
    let reason: String
  }

  /// The value of a parameter, as `read` understands it; nil if it is not given.
  mutating func take<Value>(_ name: String, allowed: String, _ read: (String) -> Value?) throws(Wrong) -> Value? {
    let values = left.filter { $0.name == name }
    left.removeAll { $0.name == name }
    guard let first = values.first else { return nil }
    guard values.count == 1 else { throw Wrong(reason: "\(name) is given more than once") }
    guard let value = read(first.value) else {
      throw Wrong(reason: "\(name): '\(first.value)' is not allowed; allowed: \(allowed)")
    }
    return value
  }

  /// A count of rows.
  mutating func takeTop(most: Int) throws(Wrong) -> Int {
    let top = try take("top", allowed: "1 to \(most)") { text in
      Int(text).flatMap { (1...most).contains($0) ? $0 : nil }
    }
    return top ?? AdminLimits.standardRows
  }

  func finish() throws(Wrong) {
    if let other = left.first { throw Wrong(reason: "there is no '\(other.name)'") }
  }
}
