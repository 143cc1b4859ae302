import Glibc

/// One connection to the backend. Where it echoes, a data packet goes back byte for byte as it came (its tagged form is
/// the same in both directions), so the receive buffer is the send buffer and nothing is copied:
///
///     0        head            parsed          tail       capacity
///     +--------+---------------+---------------+----------+
///     | sent   | whole packets | not whole yet | free     |
///     +--------+---------------+---------------+----------+
///
///     0 <= head <= parsed <= tail <= capacity
///
/// Where it does not echo, whole packets are taken out by ``takePacket``. What comes of a plain proxy is not looked at:
/// every byte counts as whole.
struct FirehoseConnection {
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
  private let isPlain: Bool
  var interest: Epoll.Ready = .input

  private var bytes: UnsafeMutableRawPointer
  private var capacity: Int
  private var head = 0
  private var parsed = 0
  private var tail = 0

  init(fd: Int32, isPlain: Bool) {
    self.fd = fd
    self.isPlain = isPlain
    // A proxy has thousands of connections.
    capacity = isPlain ? 0 : 4 * Socket.readSize
    bytes = .allocate(byteCount: capacity, alignment: 64)
  }

  mutating func free() {
    close(fd)
    bytes.deallocate()
  }

  var hasOutput: Bool { head < parsed }
  var isFull: Bool { tail - head > FirehoseConnection.limit }

  /// One large receive.
  mutating func read() -> Outcome {
    makeRoom()
    let count = Socket.receive(fd, into: bytes + tail, count: Socket.readSize)
    guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) ? .fine : .ended }
    tail += count
    if isPlain {
      parsed = tail
      return .fine
    }
    while tail - parsed >= FirehoseConnection.header {
      let at = bytes + parsed
      let size = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self))
      guard size >= FirehoseConnection.tag, size <= FirehoseConnection.maxSize else { return .broken(size: size) }
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

  /// The next whole packet, which stays until the next receive: with its size prefix just before its data, where the
  /// tag was.
  mutating func takePacket() -> (id: UInt64, bytes: UnsafeRawPointer, count: Int)? {
    guard head < parsed else { return nil }
    let at = bytes + head
    let size = UInt32(littleEndian: at.loadUnaligned(as: UInt32.self))
    let id = UInt64(littleEndian: at.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
    (at + FirehoseConnection.tag).storeBytes(
      of: (size - UInt32(FirehoseConnection.tag)).littleEndian, as: UInt32.self)
    head += 4 + Int(size)
    if head == tail { (head, parsed, tail) = (0, 0, 0) }
    return (id, UnsafeRawPointer(at + FirehoseConnection.tag), 4 + Int(size) - FirehoseConnection.tag)
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
    capacity = max(2 * capacity, Socket.readSize)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
    memcpy(larger, bytes + head, rest)
    bytes.deallocate()
    bytes = larger
    parsed -= head
    tail = rest
    head = 0
  }
}
