import Glibc
import VoltlaneWire

/// Tagged packets that the backend makes, until the relay's socket has taken them.
struct OutputBuffer: ~Copyable {
  /// Packets are written up to here before they are sent.
  private static let fill = 256 * 1024

  private let bytes: UnsafeMutableRawPointer
  private var head = 0
  private var end = 0

  /// `largest`: the most data that a packet has.
  init(largest: Int) {
    // The last packet begins below `fill`.
    bytes = .allocate(byteCount: OutputBuffer.fill + Wire.tag + Pattern.prefix + largest, alignment: 64)
  }

  deinit { bytes.deallocate() }

  var isEmpty: Bool { head == end }
  var isFull: Bool { end >= OutputBuffer.fill }

  mutating func clear() { (head, end) = (0, 0) }

  /// Writes the next packet for a client, where it is not full. It is written as the client's own, its size prefix just
  /// before its data; then the tag covers that:
  ///
  ///     u32 size + 9 | u64 id      | u8 flag | data
  ///                  |      u32 size         | data
  mutating func appendNext(for index: Int, of clients: inout LoadClients, now: UInt64) {
    let at = bytes + end
    let (id, count) = clients.writeNext(index, to: at + Wire.tag, now: now)
    at.storeBytes(of: UInt32(count - Pattern.prefix + Wire.tag).littleEndian, as: UInt32.self)
    at.storeBytes(of: id.littleEndian, toByteOffset: Wire.sizePrefix, as: UInt64.self)
    at.storeBytes(of: PacketFlag.data.rawValue, toByteOffset: Wire.sizePrefix + Wire.clientID, as: UInt8.self)
    end += Wire.tag + count
  }

  /// One send; false when the connection has ended.
  mutating func send(_ fd: Int32) -> Bool {
    let sent = Socket.send(fd, bytes + head, count: end - head)
    if sent < 0 { return errno == EAGAIN || errno == EINTR }
    head += sent
    if isEmpty { clear() }
    return true
  }
}
