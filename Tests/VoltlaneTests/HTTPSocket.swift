import Glibc

/// A connection to an admin endpoint, of which a test decides every byte.
final class HTTPSocket {
  private(set) var descriptor: Int32

  struct Failure: Error {
    let call: String
    let errno: Int32
  }

  init(to port: UInt16) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw Failure(call: "connect", errno: errno) }
    giveUpLate()
  }

  init(to path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw Failure(call: "connect", errno: errno) }
    giveUpLate()
  }

  deinit { close() }

  func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  /// An answer that never comes fails a test, and does not hold up all others.
  private func giveUpLate() {
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  /// Sends all of it; false if the other side has closed.
  @discardableResult
  func send(_ text: String) -> Bool {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard sent > 0 else { return false }
      bytes = bytes.dropFirst(sent)
    }
    return true
  }

  /// What comes next; empty at the end, or where it was reset.
  func receive() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = recv(descriptor, &bytes, bytes.count, 0)
    return count > 0 ? Array(bytes.prefix(count)) : []
  }

  /// Whether the other side closes, or resets, and does not just say nothing.
  func isClosed() -> Bool {
    var byte: UInt8 = 0
    while true {
      let count = recv(descriptor, &byte, 1, 0)
      if count == 0 { return true }
      if count < 0 { return errno == ECONNRESET }
    }
  }

  struct Answer {
    var status: Int
    /// With names in lower case.
    var fields: [String: String]
    var body: String
  }

  private var received: [UInt8] = []

  /// The next answer; nil if the connection ends before it does.
  func answer(hasBody: Bool = true) -> Answer? {
    let end = Array("\r\n\r\n".utf8)
    var head: Range<Int>?
    while head == nil {
      head = received.firstRange(of: end)
      if head == nil {
        let more = receive()
        guard !more.isEmpty else { return nil }
        received += more
      }
    }
    let lines = String(decoding: received[..<head!.lowerBound], as: UTF8.self).split(separator: "\r\n")
    received.removeFirst(head!.upperBound)
    guard let first = lines.first?.split(separator: " "), first.count > 1, let status = Int(first[1]) else {
      return nil
    }
    var fields: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
    }
    let length = hasBody ? fields["content-length"].flatMap { Int($0) } ?? 0 : 0
    while received.count < length {
      let more = receive()
      guard !more.isEmpty else { return nil }
      received += more
    }
    let body = String(decoding: received.prefix(length), as: UTF8.self)
    received.removeFirst(length)
    return Answer(status: status, fields: fields, body: body)
  }

  /// Asks for a path as a well-behaved client does.
  func get(_ path: String) -> Answer? {
    send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return answer()
  }
}
