import Glibc

/// Where to listen or connect: `HOST:PORT`, `[IPV6]:PORT` or `unix:/path`.
public struct Address: Sendable, Equatable, CustomStringConvertible {
  public enum Place: Sendable, Equatable {
    case network(host: String, port: UInt16)
    case unix(path: String)
  }

  public var place: Place

  public init(_ text: String) throws(BenchError) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      // sun_path has 108 bytes, the closing zero included.
      guard !path.isEmpty, path.utf8.count < 108 else {
        throw BenchError("'\(text)' needs a path of 1 to 107 bytes after unix:")
      }
      place = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":"), colon > text.startIndex,
      let port = UInt16(text[text.index(after: colon)...])
    else { throw BenchError("'\(text)' is neither HOST:PORT nor unix:/path") }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    place = .network(host: host, port: port)
  }

  public var description: String {
    switch place {
    case .network(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  public var isUnix: Bool {
    if case .unix = place { true } else { false }
  }

  /// The address as the kernel wants it.
  func resolved() throws(BenchError) -> SocketAddress {
    switch place {
    case .unix(let path):
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      return withUnsafeBytes(of: &address) { SocketAddress($0) }
    case .network(let host, let port):
      var hints = addrinfo()
      hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
      var found: UnsafeMutablePointer<addrinfo>?
      let result = getaddrinfo(host, String(port), &hints, &found)
      guard result == 0, let first = found else {
        throw BenchError("cannot resolve '\(host)': \(String(cString: gai_strerror(result)))")
      }
      defer { freeaddrinfo(found) }
      return SocketAddress(UnsafeRawBufferPointer(start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen)))
    }
  }
}

/// A resolved address of any family.
struct SocketAddress {
  private var storage = sockaddr_storage()
  private var length: socklen_t

  init(_ bytes: UnsafeRawBufferPointer) {
    length = socklen_t(bytes.count)
    withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: bytes) }
  }

  var family: Int32 { Int32(storage.ss_family) }

  func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    withUnsafeBytes(of: storage) { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length) }
  }
}
