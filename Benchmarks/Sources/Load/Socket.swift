import Glibc

/// The system calls on sockets, in one place. Every socket is non-blocking.
enum Socket {
  /// One receive takes at most this much.
  static let readSize = 256 * 1024

  static func make(_ family: Int32) throws(BenchError) -> Int32 {
    let fd = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw .system("socket") }
    return fd
  }

  /// TCP_NODELAY, SO_REUSEADDR, so that the port that the kernel gives can still be listened on by others, and, where
  /// one is asked for, the congestion control; nothing on a unix socket.
  static func tune(_ fd: Int32, family: Int32, congestionControl: String?) throws(BenchError) {
    guard family != AF_UNIX else { return }
    var on: Int32 = 1
    setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard let name = congestionControl else { return }
    guard setsockopt(fd, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.utf8.count)) == 0 else {
      throw errno == ENOENT
        ? BenchError("this kernel has no congestion control '\(name)'") : .system("congestion control '\(name)'")
    }
  }

  /// Lets no more than a few packets wait unread, so that the other end soon notices a peer that does not read. Before
  /// the connection is made.
  static func boundReceiveBuffer(_ fd: Int32) {
    var bytes: Int32 = 4096
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
  }

  /// A listener at `address`. What it accepts inherits the congestion control.
  static func listen(at address: Address, congestionControl: String?) throws(BenchError) -> Int32 {
    let resolved = try address.resolved()
    if case .unix(let path) = address.place { try removeStaleSocket(path) }
    let fd = try make(resolved.family)
    var on: Int32 = 1
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    try tune(fd, family: resolved.family, congestionControl: congestionControl)
    guard resolved.withPointer({ bind(fd, $0, $1) }) == 0, Glibc.listen(fd, 4096) == 0 else {
      throw .system("listen at \(address)")
    }
    return fd
  }

  /// A socket left behind by an earlier run is removed; any other file is not.
  private static func removeStaleSocket(_ path: String) throws(BenchError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw BenchError("\(path) exists and is not a socket") }
    unlink(path)
  }

  /// The next connection of a listener, or nil where there is none.
  static func accept(_ listener: Int32) -> Int32? {
    let fd = Glibc.accept(listener, nil, nil)
    guard fd >= 0 else { return nil }
    // accept4 is a GNU extension, which the Glibc module hides; a backend accepts too seldom for it to matter.
    _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)
    _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
    return fd
  }

  /// Closes a connection with a reset: no port is left in TIME_WAIT.
  static func reset(_ fd: Int32) {
    resetOnClose(fd)
    close(fd)
  }

  private static func resetOnClose(_ fd: Int32) {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
  }

  /// The error that a socket's connection attempt ended with; 0 is success. A socket that was given the very port it
  /// dials, where nobody listens, is connected to itself: nobody is there.
  static func pendingError(_ fd: Int32) -> Int32 {
    var error: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)
    guard error == 0, let own = address(of: fd, by: getsockname), own == address(of: fd, by: getpeername) else {
      return error
    }
    resetOnClose(fd)
    return ECONNREFUSED
  }

  /// A TCP address in the kernel's form; nil for others.
  private static func address(
    of fd: Int32, by call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: MemoryLayout<sockaddr_storage>.size)
    var length = socklen_t(bytes.count)
    let family = bytes.withUnsafeMutableBytes { bytes -> Int32? in
      let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      return call(fd, address, &length) == 0 ? Int32(address.pointee.sa_family) : nil
    }
    return family == AF_INET || family == AF_INET6 ? bytes : nil
  }

  @inline(__always)
  static func receive(_ fd: Int32, into bytes: UnsafeMutableRawPointer, count: Int) -> Int {
    recv(fd, bytes, count, Int32(MSG_DONTWAIT))
  }

  @inline(__always)
  static func send(_ fd: Int32, _ bytes: UnsafeRawPointer, count: Int) -> Int {
    Glibc.send(fd, bytes, count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
  }
}

/// The limit on open files.
enum OpenFiles {
  /// Raises the soft limit to the hard one and returns it.
  private static func raiseLimit() -> Int {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
  }

  /// Raises the limit, and makes sure that this many sockets fit.
  static func require(_ sockets: Int) throws(BenchError) {
    let limit = raiseLimit()
    guard sockets + reserved <= limit else {
      throw BenchError(
        "\(sockets) sockets do not fit: this process may open \(limit) files (ulimit -Hn), \(reserved) of which are "
          + "needed for other things")
    }
  }

  /// What the process needs beside its clients: standard streams, the listener, the backend's connections, /proc files.
  private static let reserved = 64
}
