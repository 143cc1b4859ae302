import Glibc
import Relay

/// Why a socket did not do what a test expects of it.
enum SocketFailure: Error {
  case system(String, Int32)
  /// Nothing came, or nothing could be sent, for as long as a test waits.
  case timeout(String)
  /// The peer ended the connection; what had come until then.
  case ended(RawSocket.End, received: [UInt8])
}

/// How long a test waits for what must happen at last. Long: it bounds a failing test, and measures nothing.
let patience: Int32 = 60_000

/// A socket that a test plays byte by byte.
final class RawSocket: @unchecked Sendable {
  enum End: Equatable, Sendable {
    case fin
    case reset(Int32)
  }

  private(set) var descriptor: Int32
  private var received: [UInt8] = []
  private var next = 0
  private var scratch = [UInt8](repeating: 0, count: 65_536)
  /// How the peer's side ended, once that was read.
  private(set) var end: End?

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Connects to `endpoint`. Small buffers make a peer, or this side, run out of room soon. `source` is the address
  /// that the peer sees.
  convenience init(
    to endpoint: Endpoint, from source: Endpoint? = nil, receiveBuffer: Int32? = nil, sendBuffer: Int32? = nil
  ) throws {
    self.init(try SocketCalls.open(endpoint))
    if let source { try SocketCalls.bind(descriptor, source) }
    if let receiveBuffer { SocketCalls.setOption(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    if let sendBuffer { SocketCalls.setOption(descriptor, SOL_SOCKET, SO_SNDBUF, sendBuffer) }
    try connect(to: endpoint)
  }

  deinit { close() }

  func connect(to endpoint: Endpoint) throws {
    try SocketCalls.connect(descriptor, endpoint)
    guard SocketCalls.wait(descriptor, POLLOUT, milliseconds: patience) else { throw SocketFailure.timeout("connect") }
    let error = SocketCalls.option(descriptor, SOL_SOCKET, SO_ERROR)
    guard error == 0 else { throw SocketFailure.system("connect", error) }
  }

  // MARK: Sending

  /// Sends all of `bytes`.
  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try sendSome(rest)
      rest = rest.dropFirst(count)
      guard count > 0 || SocketCalls.wait(descriptor, POLLOUT, milliseconds: patience) else {
        throw SocketFailure.timeout("send, with \(rest.count) bytes left")
      }
    }
  }

  /// Sends as much as the kernel takes at once; returns how much.
  func sendSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
    switch SocketCalls.send(descriptor, bytes) {
    case .bytes(let count): return count
    case .wouldBlock: return 0
    case .failed(let error): throw SocketFailure.system("send", error)
    }
  }

  /// Sends piece by piece, with a pause between them so that the peer reads each by itself.
  func send(pieces: [[UInt8]]) throws {
    for piece in pieces {
      try send(piece)
      usleep(500)
    }
  }

  // MARK: Receiving

  /// Exactly `count` bytes.
  func receive(_ count: Int) throws -> [UInt8] {
    while received.count - next < count {
      guard end == nil else { throw SocketFailure.ended(end!, received: takeAll()) }
      guard try fill(milliseconds: patience) else {
        throw SocketFailure.timeout("\(count) bytes, of which \(received.count - next) came")
      }
    }
    defer { trim() }
    next += count
    return Array(received[next - count..<next])
  }

  /// A size-prefixed packet's data.
  func receivePacket() throws -> [UInt8] {
    let size = try receive(4).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    return try receive(size)
  }

  /// Everything until the peer's end.
  func receiveToEnd() throws -> (bytes: [UInt8], end: End) {
    while end == nil {
      guard try fill(milliseconds: patience) else { throw SocketFailure.timeout("the end of the connection") }
    }
    return (takeAll(), end!)
  }

  /// Whether neither bytes nor an end come for a moment. Can only miss what comes late, never fail for slowness.
  func staysSilent(milliseconds: Int32 = 100) throws -> Bool {
    guard received.count == next, end == nil else { return false }
    return try !fill(milliseconds: milliseconds)
  }

  /// What has come so far, without waiting.
  func takeArrived() throws -> [UInt8] {
    while end == nil, try fill(milliseconds: 0) {}
    return takeAll()
  }

  /// Reads once. False where nothing came in time.
  private func fill(milliseconds: Int32) throws -> Bool {
    guard SocketCalls.wait(descriptor, POLLIN, milliseconds: milliseconds) else { return false }
    switch SocketCalls.receive(descriptor, into: &scratch) {
    case .bytes(0): end = .fin
    case .bytes(let count): received += scratch[..<count]
    case .wouldBlock: return false
    case .failed(let error): end = .reset(error)
    }
    return true
  }

  private func takeAll() -> [UInt8] {
    defer {
      received = []
      next = 0
    }
    return Array(received[next...])
  }

  private func trim() {
    guard next > 1 << 20 || next == received.count else { return }
    received.removeFirst(next)
    next = 0
  }

  // MARK: Ending

  /// Sends a FIN.
  func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Ends the connection with a reset.
  func reset() {
    SocketCalls.resetOnClose(descriptor)
    close()
  }

  func close() {
    guard descriptor >= 0 else { return }
    Glibc.close(descriptor)
    descriptor = -1
  }
}
