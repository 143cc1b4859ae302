import Glibc
import Relay
import Synchronization

/// The system calls of this test target: with Thread.swift the only unsafe code. Sockets never block: callers poll.
enum SocketCalls {
  /// Bytes that were read; 0 is the peer's FIN.
  enum Outcome: Equatable {
    case bytes(Int)
    case wouldBlock
    case failed(Int32)
  }

  /// What every socket is made with. Without the second flag the process of every exit test that begins meanwhile would
  /// inherit the socket and hold it open for as long as it runs: the relay would not hear of its end until then.
  private static let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)

  static func open(_ endpoint: Endpoint) throws -> Int32 {
    let family =
      switch endpoint {
      case .unix: AF_UNIX
      case .tcp(let host, _): host.contains(":") ? AF_INET6 : AF_INET
      }
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | flags, 0)
    guard descriptor >= 0 else { throw SocketFailure.system("socket", errno) }
    if family != AF_UNIX { setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
    return descriptor
  }

  static func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  static func option(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, level, name, &value, &length)
    return value
  }

  /// How many segments TCP had to send again.
  static func retransmissions(_ descriptor: Int32) -> UInt32 {
    var info = tcp_info()
    var length = socklen_t(MemoryLayout<tcp_info>.size)
    getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length)
    return info.tcpi_total_retrans
  }

  /// From now on the kernel drops whatever comes for this socket, before TCP sees it: for its peer this end is gone.
  static func deafen(_ descriptor: Int32) {
    // struct sock_filter: BPF_RET | BPF_K, no jumps, keep 0 bytes. struct sock_fprog: how many, and where.
    var instruction: UInt64 = 0x06
    withUnsafeMutablePointer(to: &instruction) { instruction in
      var program = (count: UInt16(1), instructions: instruction)
      setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout.size(ofValue: program)))
    }
  }

  static func undeafen(_ descriptor: Int32) { setOption(descriptor, SOL_SOCKET, SO_DETACH_FILTER, 0) }

  /// Makes the close of this socket a reset.
  static func resetOnClose(_ descriptor: Int32) {
    var value = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
  }

  /// Begins a connection; whether it came about is seen when the socket is writable.
  static func connect(_ descriptor: Int32, _ endpoint: Endpoint) throws {
    let result = try withAddress(endpoint) { Glibc.connect(descriptor, $0, $1) }
    guard result == 0 || errno == EINPROGRESS else { throw SocketFailure.system("connect", errno) }
  }

  static func bind(_ descriptor: Int32, _ endpoint: Endpoint) throws {
    setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
    guard try withAddress(endpoint, { Glibc.bind(descriptor, $0, $1) }) == 0 else {
      throw SocketFailure.system("bind", errno)
    }
  }

  /// A port for a test that binds one more than once, or on more than one address. Whatever binds to port 0 or connects
  /// gets one of the kernel's own range, which thousands of sockets of other tests share: what was free a moment ago
  /// need not be. This one is below that range, and no other test's.
  static func ownPort() throws -> UInt16 {
    while true {
      let next = nextOwnPort.wrappingAdd(1, ordering: .relaxed).oldValue
      let port = 10_000 + (UInt16(getpid() % 100) * 200 + next) % 20_000
      do {
        for host in ["0.0.0.0", "::"] {
          let socket = RawSocket(try open(.tcp(host: host, port: port)))
          defer { socket.close() }
          try bind(socket.descriptor, .tcp(host: host, port: port))
        }
        return port
      } catch SocketFailure.system(_, EADDRINUSE) {
        continue
      }
    }
  }

  private static let nextOwnPort = Atomic<UInt16>(0)

  static func port(_ descriptor: Int32) -> UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return UInt16(bigEndian: address.sin_port)
  }

  static func accept(_ listener: Int32) -> Int32? {
    // Found by name: the module of the C library leaves it out.
    typealias Call = @convention(c) (Int32, OpaquePointer?, OpaquePointer?, Int32) -> Int32
    guard let symbol = dlsym(nil, "accept4") else { return nil }
    let descriptor = unsafeBitCast(symbol, to: Call.self)(listener, nil, nil, flags)
    guard descriptor >= 0 else { return nil }
    setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return descriptor
  }

  static func receive(_ descriptor: Int32, into buffer: inout [UInt8]) -> Outcome {
    outcome(recv(descriptor, &buffer, buffer.count, 0))
  }

  static func send(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) -> Outcome {
    bytes.withUnsafeBytes {
      outcome(Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)))
    }
  }

  private static func outcome(_ result: Int) -> Outcome {
    if result >= 0 { return .bytes(result) }
    return errno == EAGAIN ? .wouldBlock : .failed(errno)
  }

  /// Whether the descriptor has one of `events` (or an error) within `milliseconds`.
  static func wait(_ descriptor: Int32, _ events: Int32, milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return poll(&entry, 1, milliseconds) > 0
  }

  private static func withAddress<R>(
    _ endpoint: Endpoint, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
  ) throws -> R {
    switch endpoint {
    case .unix(let path):
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      return rebound(&address, body)
    case .tcp(let host, let port) where host.contains(":"):
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      guard inet_pton(AF_INET6, host, &address.sin6_addr) == 1 else { throw SocketFailure.system(host, EINVAL) }
      return rebound(&address, body)
    case .tcp(let host, let port):
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { throw SocketFailure.system(host, EINVAL) }
      return rebound(&address, body)
    }
  }

  private static func rebound<Address, R>(
    _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
  ) -> R {
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
    }
  }

  /// Bytes that have come and were not read.
  static func unread(_ descriptor: Int32) -> Int {
    var count: Int32 = 0
    _ = ioctl(descriptor, UInt(FIONREAD), &count)
    return Int(count)
  }

  /// Bytes that were sent and not acknowledged (SIOCOUTQ).
  static func unacknowledged(_ descriptor: Int32) -> Int {
    var count: Int32 = 0
    _ = ioctl(descriptor, UInt(TIOCOUTQ), &count)
    return Int(count)
  }

  /// The backlog of the listener on this port over IPv4: of a listening socket the kernel tells it in the place of what
  /// is not acknowledged.
  static func backlog(port: UInt16) throws -> Int {
    for descriptor in descriptors where Self.port(descriptor) == port {
      guard option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 1 else { continue }
      var information = tcp_info()
      var length = socklen_t(MemoryLayout<tcp_info>.size)
      guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &information, &length) == 0 else { continue }
      return Int(information.tcpi_sacked)
    }
    throw SocketFailure.system("no listener on port \(port)", ENOENT)
  }

  // MARK: This process

  /// Gives the calling thread a network of its own. 0, or -1.
  static func leaveNetwork() -> Int32 {
    let newNetwork: Int32 = 0x4000_0000
    // Found by name: the module of the C library leaves it out.
    guard let symbol = dlsym(nil, "unshare") else { return -1 }
    return unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)(newNetwork)
  }

  /// Runs a command of the shell in the calling thread's network; its exit status.
  static func shell(_ command: String) -> Int32 {
    var child = pid_t()
    var arguments = (["sh", "-c", command] as [String]).map { $0.withCString { strdup($0) } } + [nil]
    defer { for argument in arguments { free(argument) } }
    guard posix_spawn(&child, "/bin/sh", nil, nil, &arguments, environ) == 0 else { return -1 }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return status
  }

  /// The other end of the connection of `descriptor`, over IPv4, where that is in this process too.
  static func otherEnd(_ descriptor: Int32) -> Int32? {
    guard let own = names(descriptor) else { return nil }
    return descriptors.first { names($0).map { $0 == (own.peer, own.own) } ?? false }
  }

  /// Address and port of both ends of a connection over IPv4.
  private static func names(_ descriptor: Int32) -> (own: UInt64, peer: UInt64)? {
    guard let own = name(descriptor, getsockname), let peer = name(descriptor, getpeername) else { return nil }
    return (own, peer)
  }

  private static func name(
    _ descriptor: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> UInt64? {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, &length) }
    }
    guard result == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
    return UInt64(address.sin_addr.s_addr) << 16 | UInt64(address.sin_port)
  }

  /// The descriptors of the process.
  static var descriptors: [Int32] {
    guard let directory = opendir("/proc/self/fd") else { return [] }
    defer { closedir(directory) }
    var found: [Int32] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if let descriptor = Int32(name), descriptor != dirfd(directory) { found.append(descriptor) }
    }
    return found
  }

  /// Gives memory that is free back to the system, so that ``residentBytes`` tells what is in use.
  static func trimMemory() {
    // Found by name, here and below: the module of the C library leaves the header out.
    guard let symbol = dlsym(nil, "malloc_trim") else { return }
    _ = unsafeBitCast(symbol, to: (@convention(c) (Int) -> Int32).self)(0)
  }

  /// Bytes that are allocated, in all of the allocator's heaps.
  static var allocatedBytes: Int {
    var text: UnsafeMutablePointer<CChar>?
    var size = 0
    guard let symbol = dlsym(nil, "malloc_info"), let stream = open_memstream(&text, &size) else { return 0 }
    typealias Call = @convention(c) (Int32, UnsafeMutablePointer<FILE>) -> Int32
    _ = unsafeBitCast(symbol, to: Call.self)(0, stream)
    fclose(stream)
    defer { free(text) }
    // The sums stand at the end: what the heaps have of the system, of it what is free, and what is mapped apart.
    let sums = String(cString: text!).split(separator: "</heap>").last ?? ""
    let value = { (start: String) in
      sums.split(separator: "\n").first { $0.hasPrefix(start) }
        .flatMap { $0.split(separator: "size=\"").last?.split(separator: "\"").first }.flatMap { Int($0) } ?? 0
    }
    return value("<system type=\"current\"") + value("<total type=\"mmap\"") - value("<total type=\"fast\"")
      - value("<total type=\"rest\"")
  }

  /// Microseconds of processor time that the process has used.
  static var processorTime: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + usage.ru_utime.tv_usec
      + usage.ru_stime.tv_usec
  }

  /// Bytes of the process that are in memory.
  static var residentBytes: Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, 128, file) != nil else { return 0 }
    let fields = line.split(separator: CChar(UInt8(ascii: " ")))
    return Int(atol(fields[1].map { $0 } + [0])) * 4096
  }

  /// Lets the process have no descriptor from `limit` on, for good.
  static func limitDescriptors(to limit: Int) {
    var limits = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  }
}
