import Glibc
import VoltlaneWire

/// Tagged packets that the backend makes, until the relay's socket has taken them.
struct OutputBuffer: ~Copyable {
  /// Packets are written up to here before they are sent.
  private static let fill = 256 * 1024

  private let bytes: UnsafeMutableRawPointer
  private var head = 0
  private var end = 0

  /// `largest`: the most data that a packet has. `ids`: for how many clients it may be.
  init(largest: Int, ids: Int) {
    // The last packet begins below `fill`.
    let header = Wire.tag + Multicast.prefix + ids * Wire.clientID
    bytes = .allocate(byteCount: OutputBuffer.fill + header + Pattern.prefix + largest, alignment: 64)
  }

  deinit { bytes.deallocate() }

  var isEmpty: Bool { head == end }
  var count: Int { end - head }
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

  /// Writes the next packet for all of `ids`, where it is not full.
  mutating func append(_ sequence: UInt64, for ids: [UInt64], of clients: borrowing LoadClients) {
    let data = Wire.tag + Multicast.prefix + ids.count * Wire.clientID
    let at = bytes + end
    // Its size prefix goes under the end of the list.
    let count = clients.pattern.write(client: 0, sequence: sequence, to: at + data) - Pattern.prefix
    at.storeBytes(of: UInt32(data + count).littleEndian, as: UInt32.self)
    at.storeBytes(of: 0, toByteOffset: Wire.sizePrefix, as: UInt64.self)
    at.storeBytes(of: ExtensionFlag.multicast.rawValue, toByteOffset: 12, as: UInt8.self)
    at.storeBytes(of: PacketFlag.data.rawValue, toByteOffset: 13, as: UInt8.self)
    at.storeBytes(of: UInt32(ids.count).littleEndian, toByteOffset: 14, as: UInt32.self)
    // As they go over the wire, on the machines that this runs on.
    ids.withUnsafeBytes { (at + 18).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    end += Wire.sizePrefix + data + count
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
