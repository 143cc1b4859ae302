import Glibc

/// One firehose connection of the echo backend. A data packet goes back byte for byte as it came (its tagged form is
/// the same in both directions), so the receive buffer is the send buffer and nothing is copied:
///
///     0        head            parsed          tail       capacity
///     +--------+---------------+---------------+----------+
///     | sent   | whole packets | not whole yet | free     |
///     +--------+---------------+---------------+----------+
///
///     0 <= head <= parsed <= tail <= capacity
struct EchoConnection {
  enum Outcome {
    case fine
    case ended
    /// The stream makes no sense any more.
    case broken(size: UInt32)
  }

  /// Echoes that the relay does not take pile up to this much before it is not read any more.
  static let limit = 256 * 1024 * 1024
  /// Largest size of a tagged packet: the protocol's default, and ample room for a relay that was told more.
  static let maxSize: UInt32 = 64 * 1024 * 1024
  private static let tag = 9
  private static let header = 4 + tag

  let fd: Int32
  var interest: Epoll.Ready = .input

  private var bytes: UnsafeMutableRawPointer
  private var capacity = 4 * Socket.readSize
  private var head = 0
  private var parsed = 0
  private var tail = 0

  init(fd: Int32) {
    self.fd = fd
    bytes = .allocate(byteCount: capacity, alignment: 64)
  }

  mutating func free() {
    close(fd)
    bytes.deallocate()
  }

  var hasOutput: Bool { head < parsed }
  var isFull: Bool { tail - head > EchoConnection.limit }

  /// One large receive.
  mutating func read() -> Outcome {
    makeRoom()
    let count = Socket.receive(fd, into: bytes + tail, count: Socket.readSize)
    guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) ? .fine : .ended }
    tail += count
    while tail - parsed >= EchoConnection.header {
      let at = bytes + parsed
      let size = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self))
      guard size >= EchoConnection.tag, size <= EchoConnection.maxSize else { return .broken(size: size) }
      let frame = 4 + Int(size)
      guard tail - parsed >= frame else { break }
      if at.load(fromByteOffset: 12, as: UInt8.self) == 0 {
        parsed += frame
      } else {
        skip(frame)
      }
    }
    return .fine
  }

  /// One send of everything that is whole; false when the connection has ended.
  mutating func send() -> Bool {
    let count = Socket.send(fd, bytes + head, count: parsed - head)
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    head += count
    if head == tail { (head, parsed, tail) = (0, 0, 0) }
    return true
  }

  /// Takes the packet at `parsed` out of what goes back: a failure or a reconnection needs no answer.
  private mutating func skip(_ frame: Int) {
    if head == parsed {
      head += frame
      parsed += frame
    } else {
      memmove(bytes + parsed, bytes + parsed + frame, tail - parsed - frame)
      tail -= frame
    }
    if head == tail { (head, parsed, tail) = (0, 0, 0) }
  }

  /// Room for a receive after `tail`. No more is moved than was sent, save the start of one packet: with nothing but
  /// that in the buffer it goes to the front, where the memory is warm.
  private mutating func makeRoom() {
    let rest = tail - head
    if head > 0 && (head == parsed || (capacity - tail < Socket.readSize && head >= rest)) {
      memmove(bytes, bytes + head, rest)
      parsed -= head
      tail = rest
      head = 0
    }
    guard capacity - tail < Socket.readSize else { return }
    let larger = UnsafeMutableRawPointer.allocate(byteCount: 2 * capacity, alignment: 64)
    memcpy(larger, bytes + head, rest)
    bytes.deallocate()
    bytes = larger
    capacity *= 2
    parsed -= head
    tail = rest
    head = 0
  }
}
