import NIOCore
import VoltlaneWire

/// A packet that declares more bytes than are allowed. Nothing of it was buffered on that account.
package struct OversizedPacket: Error, Equatable, Sendable {
  package var size: Int
  package var maximum: Int

  package init(size: Int, maximum: Int) {
    self.size = size
    self.maximum = maximum
  }
}

/// Cuts a byte stream into its size-prefixed packets:
///
///     u32 size | size bytes of data
///
/// Packets are slices of what was read, not copies. Only bytes that have come take memory: a declared size reserves
/// nothing.
package struct PacketSplitter {
  /// The largest `size` that is accepted, in bytes. It may change between two packets.
  package var maximum: Int
  /// What was read and not yet handed out.
  private var unread = ByteBuffer()

  package init(maximum: Int) {
    self.maximum = maximum
  }

  /// Bytes that were read and not handed out: more than none after the last ``next()`` is a packet without its end.
  package var unreadCount: Int { unread.readableBytes }

  /// The memory that holds what was read and not handed out, in bytes.
  package var unreadCapacity: Int { unread.storageCapacity }

  package mutating func append(_ read: ByteBuffer) {
    guard unread.readableBytes > 0 else {
      unread = read
      return
    }
    var read = read
    unread.writeBuffer(&read)
  }

  /// The data of the next whole packet; nil where it has not come yet.
  package mutating func next() throws(OversizedPacket) -> ByteBuffer? {
    guard let size = try nextSize(), unread.readableBytes - Wire.sizePrefix >= size else {
      releaseHandedOut()
      return nil
    }
    unread.moveReaderIndex(forwardBy: Wire.sizePrefix)
    return unread.readSlice(length: size)
  }

  /// What `body` makes of the next packet, which stays; nil where it has not come whole yet.
  package func peek<Result>(_ body: (RawSpan) -> Result) throws(OversizedPacket) -> Result? {
    guard let size = try nextSize(), unread.readableBytes - Wire.sizePrefix >= size else { return nil }
    return body(unread.readableBytesSpan.extracting(Wire.sizePrefix..<(Wire.sizePrefix + size)))
  }

  /// The longest run of whole packets at the front for which `keeps` holds, exactly as it was read: size prefixes
  /// included. Packets before it for which it does not hold are skipped. nil where no such packet has come yet.
  package mutating func nextRun(where keeps: (RawSpan) -> Bool) throws(OversizedPacket) -> ByteBuffer? {
    let run = try frontRun(where: keeps)
    unread.moveReaderIndex(forwardBy: run.lowerBound)
    guard !run.isEmpty else {
      releaseHandedOut()
      return nil
    }
    return unread.readSlice(length: run.count)
  }

  /// Where ``nextRun(where:)`` finds its run, counted from the first unread byte.
  private func frontRun(where keeps: (RawSpan) -> Bool) throws(OversizedPacket) -> Range<Int> {
    let bytes = unread.readableBytesSpan
    var run = 0..<0
    while bytes.byteCount - run.upperBound >= Wire.sizePrefix {
      let size = Int(bytes.littleEndianUInt32(at: run.upperBound))
      guard size <= maximum else {
        // What came before it is whole and good: the error is for the next call.
        if !run.isEmpty { break }
        throw OversizedPacket(size: size, maximum: maximum)
      }
      let start = run.upperBound + Wire.sizePrefix
      guard bytes.byteCount - start >= size else { break }
      let end = start + size
      if keeps(bytes.extracting(start..<end)) {
        run = run.lowerBound..<end
      } else if run.isEmpty {
        run = end..<end
      } else {
        break
      }
    }
    return run
  }

  /// The declared size of the packet at the front; nil where its prefix has not come yet.
  private func nextSize() throws(OversizedPacket) -> Int? {
    guard let prefix = unread.getInteger(at: unread.readerIndex, endianness: .little, as: UInt32.self) else {
      return nil
    }
    let size = Int(prefix)
    guard size <= maximum else { throw OversizedPacket(size: size, maximum: maximum) }
    return size
  }

  /// The packets handed out share the storage, so that the next append copies: a slice limits that copy to what is
  /// unread. Where nothing was handed out the storage is ours alone, and slicing it would force a copy.
  private mutating func releaseHandedOut() {
    guard unread.readerIndex > 0 else { return }
    unread = unread.slice()
  }
}
