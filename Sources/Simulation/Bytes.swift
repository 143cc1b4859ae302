import VoltlaneWire

/// Identifies a packet without keeping it: two different packets have the same fingerprint only once in 2^64.
struct Fingerprint: Equatable {
  var size: Int
  var hash: UInt64

  /// Represents, among a session's packets, the 0x03 of a client that came back.
  static let reconnection = Fingerprint(size: -1, hash: 0)
  /// The same for a 0x04.
  static let away = Fingerprint(size: -2, hash: 0)
  /// The same for a 0x07 with this data.
  static func address(_ data: Fingerprint) -> Fingerprint { Fingerprint(size: -3, hash: data.hash) }

  var isAddress: Bool { size == -3 }

  /// Whether it stands for something that the relay itself says about a session.
  var isOfRelay: Bool { size < 0 }

  init(size: Int, hash: UInt64) {
    self.size = size
    self.hash = hash
  }

  init(_ bytes: UnsafeRawBufferPointer) {
    size = bytes.count
    var value: UInt64 = 0x243f_6a88_85a3_08d3
    var offset = 0
    while offset &+ 8 <= bytes.count {
      value = (value ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x9fb2_1c65_1e98_df25
      value ^= value >> 29
      offset &+= 8
    }
    while offset < bytes.count {
      value = (value ^ UInt64(bytes[offset])) &* 0x0000_0100_0000_01b3
      offset &+= 1
    }
    hash = value ^ value >> 31
  }
}

/// A queue of bytes, first in, first out.
struct ByteQueue {
  private var bytes: [UInt8] = []
  private var start = 0

  var count: Int { bytes.count - start }
  var isEmpty: Bool { count == 0 }

  mutating func append(_ more: [UInt8]) { bytes += more }
  mutating func append(_ more: UnsafeRawBufferPointer) { bytes += more }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: bytes.capacity < 1 << 16)
    start = 0
  }

  mutating func take(_ count: Int) -> [UInt8] {
    let taken = Array(bytes[start..<(start + count)])
    skip(count)
    return taken
  }

  mutating func take(_ count: Int, into target: UnsafeMutableRawPointer) {
    bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + start, byteCount: count) }
    skip(count)
  }

  mutating func skip(_ count: Int) {
    start += count
    if start == bytes.count {
      removeAll()
    } else if start > 1 << 16, start > bytes.count / 2 {
      bytes.removeFirst(start)
      start = 0
    }
  }

  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
  }
}

/// Cuts a stream into size-prefixed packets.
struct PacketCutter {
  private var rest = ByteQueue()
  /// A larger size ends the stream: nothing after it makes sense.
  var largest = Int.max
  /// On the firehose, a packet for many clients may be larger by this, once its flag shows that it is one.
  var multicastOverhead = 0
  private(set) var isBroken = false

  /// Bytes of an unfinished packet.
  var partial: Int { rest.count }

  /// The declared size of an unfinished packet; nil if not even that has arrived.
  var declared: Int? {
    rest.count < Wire.sizePrefix ? nil : rest.withBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
  }

  /// Takes the stream's next bytes and gives each whole packet's data to `body`.
  mutating func cut(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
    guard !isBroken else { return }
    if rest.isEmpty {
      let used = walk(bytes, body)
      if used < bytes.count, !isBroken { rest.append(UnsafeRawBufferPointer(rebasing: bytes[used...])) }
    } else {
      rest.append(bytes)
      guard let declared, declared > largest || rest.count >= Wire.sizePrefix + declared else { return }
      let queue = rest
      rest.skip(queue.withBytes { walk($0, body) })
    }
  }

  private mutating func walk(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) -> Int {
    var offset = 0
    while bytes.count - offset >= Wire.sizePrefix {
      let size = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
      if size > largest {
        guard size <= largest + multicastOverhead else { return breaks(bytes) }
        guard bytes.count - offset >= Wire.taggedHeader else { break }
        let flag = bytes[offset + Wire.sizePrefix + Wire.clientID]
        guard flag == ExtensionFlag.multicast.rawValue else { return breaks(bytes) }
      }
      guard bytes.count - offset - Wire.sizePrefix >= size else { break }
      body(UnsafeRawBufferPointer(rebasing: bytes[(offset + Wire.sizePrefix)..<(offset + Wire.sizePrefix + size)]))
      offset += Wire.sizePrefix + size
    }
    return offset
  }

  private mutating func breaks(_ bytes: UnsafeRawBufferPointer) -> Int {
    isBroken = true
    return bytes.count
  }
}
