import CLinux
import Glibc
import VoltlaneText

/// An address in the kernel's form.
struct SocketAddress: Sendable {
  private var storage = sockaddr_storage()
  private var length: socklen_t = 0

  /// No address.
  init() {}

  /// Copies `length` bytes of a kernel address. An IPv6 address that stands for an IPv4 one (::ffff:a.b.c.d) becomes
  /// that: a socket for IPv6 alone cannot be bound to it.
  init(_ address: UnsafePointer<sockaddr>, length: socklen_t) {
    // Neither the kernel nor the C library has longer ones.
    precondition(Int(length) <= MemoryLayout<sockaddr_storage>.size)
    self.length = length
    withUnsafeMutableBytes(of: &storage) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(length)))
    }
    if let v6, ClientAddress(bits: v6).isIPv4 {
      var mapped = sockaddr_in()
      mapped.sin_family = sa_family_t(AF_INET)
      mapped.sin_port = port.bigEndian
      mapped.sin_addr.s_addr = UInt32(truncatingIfNeeded: v6).bigEndian
      storage = sockaddr_storage()
      self.length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutableBytes(of: &storage) { target in
        withUnsafeBytes(of: &mapped) { target.copyMemory(from: $0) }
      }
    }
  }

  /// A unix socket's path, or nil if it is longer than the kernel's 107 bytes.
  init?(unixPath path: String) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    storage = sockaddr_storage()
    length = socklen_t(MemoryLayout<sockaddr_un>.size)
    withUnsafeMutableBytes(of: &storage) { target in
      withUnsafeBytes(of: &address) { target.copyMemory(from: $0) }
    }
  }

  /// A TCP endpoint with a numeric host; nil for others.
  init?(numeric endpoint: Endpoint) {
    guard case .tcp(let host, let port) = endpoint,
      let address = try? SocketAddress.lookUp(host, port: port, passive: false, flags: AI_NUMERICHOST).get().first
    else { return nil }
    self = address
  }

  var isUnix: Bool { storage.ss_family == sa_family_t(AF_UNIX) }

  /// The bits of an IPv6 address; nil for others.
  private var v6: UInt128? {
    guard storage.ss_family == sa_family_t(AF_INET6) else { return nil }
    return withSockaddr { address, _ in
      UInt128(bigEndian: UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 8, as: UInt128.self))
    }
  }

  /// 0.0.0.0 and ::, which stand for all addresses of their family.
  private var isWildcard: Bool {
    guard storage.ss_family == sa_family_t(AF_INET) else { return v6 == 0 }
    return withSockaddr { address, _ in
      UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 4, as: UInt32.self) == 0
    }
  }

  /// Whether a listener here takes everything that one at `other` would: a wildcard address of its family and port.
  func covers(_ other: SocketAddress) -> Bool {
    !isUnix && storage.ss_family == other.storage.ss_family && isWildcard && !other.isWildcard && port == other.port
      && port != 0
  }

  /// An IPv6 address that means nothing without its interface, and does not name one.
  var lacksScope: Bool {
    guard let v6, v6 >> 118 == 0xfe80 >> 6 else { return false }
    return withSockaddr { address, _ in
      UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 24, as: UInt32.self) == 0
    }
  }

  /// A numeric TCP address; nil for others.
  var endpoint: Endpoint? { isUnix ? nil : host.map { .tcp(host: $0, port: port) } }

  /// Where a bound socket listens, for people: also a unix path, and the name of a unix socket that has no path.
  var listening: Endpoint? {
    guard isUnix else { return endpoint }
    let family = MemoryLayout<sa_family_t>.size
    guard Int(length) > family else { return nil }
    let name = withSockaddr { address, length in
      UnsafeRawBufferPointer(start: address, count: Int(length)).dropFirst(family).map { $0 }
    }
    // A name begins with a zero, which people write as an @.
    let shown = name[0] == 0 ? [UInt8(ascii: "@")] + name.dropFirst() : Array(name.prefix { $0 != 0 })
    return .unix(path: String(decoding: shown, as: UTF8.self))
  }

  /// Whether dialling this address leads to `listener`, a TCP listener on this machine.
  func leads(to listener: SocketAddress) -> Bool {
    guard !isUnix, !listener.isUnix, port == listener.port else { return false }
    return self == listener || listener.covers(self) && withSockaddr { voltlane_is_local($0, $1) }
  }

  func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    withUnsafeBytes(of: storage) { bytes in
      // The storage is not empty.
      body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
    }
  }

  /// The address that `socket` is bound to.
  static func bound(_ socket: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutableBytes(of: &storage) { bytes in
      // The storage is not empty.
      let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      guard getsockname(socket, address, &length) == 0 else { return nil }
      return SocketAddress(address, length: length)
    }
  }

  /// The port of a TCP address, 0 for others. IPv4 and IPv6 keep it in the same place.
  var port: UInt16 {
    guard !isUnix else { return 0 }
    return withSockaddr { address, _ in
      UInt16(bigEndian: UnsafeRawPointer(address).loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    }
  }

  /// A numeric TCP address, without its port.
  var host: String? {
    withSockaddr { address, length in
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(NI_MAXHOST)) { name in
        guard let start = name.baseAddress,
          getnameinfo(address, length, start, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(cString: start)
      }
    }
  }

  /// Every address of `host`; `passive` for addresses to listen on. Blocks while the name is looked up.
  static func lookUp(
    _ host: String, port: UInt16, passive: Bool, flags: Int32 = 0
  ) -> Result<[SocketAddress], LookUpError> {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = voltlane_stream
    hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) | flags
    var first: UnsafeMutablePointer<addrinfo>?
    let result = getaddrinfo(host, String(port), &hints, &first)
    guard result == 0 else { return .failure(LookUpError(message: String(cString: gai_strerror(result)))) }
    defer { freeaddrinfo(first) }
    var addresses: [SocketAddress] = []
    var entry = first
    while let found = entry {
      addresses.append(SocketAddress(found.pointee.ai_addr, length: found.pointee.ai_addrlen))
      entry = found.pointee.ai_next
    }
    return .success(addresses)
  }
}

extension SocketAddress: Equatable {
  static func == (a: SocketAddress, b: SocketAddress) -> Bool {
    guard a.length == b.length else { return false }
    return withUnsafeBytes(of: a.storage) { a in
      withUnsafeBytes(of: b.storage) { b in a.elementsEqual(b) }
    }
  }
}

struct LookUpError: Error {
  let message: String
}
