import NIOCore

/// Framed packets that wait to be written. Small ones share a buffer; large ones stay where they are.
struct FrameQueue {
  /// Up to this many bytes, copying costs less than one more buffer for the kernel to gather: measured for the relay,
  /// where copying 64 B wins 4 to 10 times, and no longer clearly from 4 KiB on.
  private static let copiedSize = 4 << 10

  private(set) var buffers: [ByteBuffer] = []
  /// The sum of the costs of the packets in `buffers`, in bytes.
  private(set) var cost = 0
  /// The last buffer is ours to append to, not a sender's.
  private var lastIsOurs = false

  var isEmpty: Bool { buffers.isEmpty }

  mutating func append(header: (inout ByteBuffer) -> Void, data: ByteBuffer, cost: Int) {
    self.cost += cost
    if !lastIsOurs { buffers.append(ByteBuffer()) }
    lastIsOurs = true
    let last = buffers.count - 1
    header(&buffers[last])
    if data.readableBytes <= Self.copiedSize {
      buffers[last].writeImmutableBuffer(data)
    } else {
      buffers.append(data)
      lastIsOurs = false
    }
  }

  mutating func takeAll() -> FrameQueue {
    defer { self = FrameQueue() }
    return self
  }
}
