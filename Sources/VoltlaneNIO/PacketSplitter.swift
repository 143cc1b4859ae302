import NIOCore
import VoltlaneWire

/// A packet that declares more bytes than are allowed. Nothing was buffered for it.
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
/// Packets are slices of what was read, not copies. Only bytes that have arrived take memory: a declared size reserves
/// nothing.
package struct PacketSplitter {
  /// The largest `size` that is accepted, in bytes. It may be changed between packets.
  package var maximum: Int
  /// What was read and not yet returned.
  private var unread = ByteBuffer()

  package init(maximum: Int) {
    self.maximum = maximum
  }

  /// Bytes that were read and not yet returned. If there are any after the last ``next()``, they are an incomplete
  /// packet.
  package var unreadCount: Int { unread.readableBytes }

  /// The memory that holds what was read and not yet returned, in bytes.
  package var unreadCapacity: Int { unread.storageCapacity }

  package mutating func append(_ read: ByteBuffer) {
    guard unread.readableBytes > 0 else {
      unread = read
      return
    }
    var read = read
    unread.writeBuffer(&read)
  }

  /// The data of the next whole packet; nil if it has not arrived yet.
  package mutating func next() throws(OversizedPacket) -> ByteBuffer? {
    guard let size = try nextSize(), unread.readableBytes - Wire.sizePrefix >= size else {
      releaseHandedOut()
      return nil
    }
    unread.moveReaderIndex(forwardBy: Wire.sizePrefix)
    return unread.readSlice(length: size)
  }

  /// What `body` returns for the next packet, which stays in the buffer; nil if it has not arrived whole yet.
  package func peek<Result>(_ body: (RawSpan) -> Result) throws(OversizedPacket) -> Result? {
    guard let size = try nextSize(), unread.readableBytes - Wire.sizePrefix >= size else { return nil }
    return body(unread.readableBytesSpan.extracting(Wire.sizePrefix..<(Wire.sizePrefix + size)))
  }

  /// The longest run of whole packets at the front for which `keeps` holds, exactly as it was read: size prefixes
  /// included. Packets before it for which it does not hold are skipped. nil if no such packet has arrived yet.
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
        // Everything before it is whole and valid: the error is for the next call.
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

  /// The declared size of the packet at the front; nil if its prefix has not arrived yet.
  private func nextSize() throws(OversizedPacket) -> Int? {
    guard let prefix = unread.getInteger(at: unread.readerIndex, endianness: .little, as: UInt32.self) else {
      return nil
    }
    let size = Int(prefix)
    guard size <= maximum else { throw OversizedPacket(size: size, maximum: maximum) }
    return size
  }

  /// Returned packets share the storage, so the next append copies it: a slice limits that copy to what is unread. If
  /// nothing was returned, the storage is not shared, and slicing it would force a copy.
  private mutating func releaseHandedOut() {
    guard unread.readerIndex > 0 else { return }
    unread = unread.slice()
  }
}
