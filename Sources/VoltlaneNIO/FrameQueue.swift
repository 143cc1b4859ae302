import NIOCore

/// Framed packets that are written together: several small ones in one buffer, or one large one after its header.
struct Frames {
  /// Ours to append to until it is written.
  var buffer = ByteBuffer()
  /// The data of a large packet, as its sender passed it; `buffer` is then only its header.
  var data: ByteBuffer?
  /// The sum of the costs of the packets, in bytes.
  var cost = 0
  var packetCount = 0
}

/// Framed packets that are waiting to be written. Small ones share a buffer; large ones stay where they are.
struct FrameQueue {
  /// Up to this many bytes, copying costs less than one more buffer for the kernel to gather: measured for the relay,
  /// where copying 64 B wins 4 to 10 times, and no longer clearly from 4 KiB on.
  private static let copiedSize = 4 << 10
  /// A shared buffer takes no more packets once it has this many bytes: if the connection dies while the buffer is
  /// being written, nobody knows which of its packets were sent.
  private static let sharedSize = 64 << 10

  private var frames: [Frames] = []

  var isEmpty: Bool { frames.isEmpty }

  /// `headerCount`: how many bytes `header` writes.
  mutating func append(header: (inout ByteBuffer) -> Void, headerCount: Int = 0, data: ByteBuffer, cost: Int) {
    let isLarge = max(data.readableBytes, headerCount) > Self.copiedSize
    if isLarge || !isLastOpen { frames.append(Frames()) }
    let last = frames.count - 1
    header(&frames[last].buffer)
    if isLarge { frames[last].data = data } else { frames[last].buffer.writeImmutableBuffer(data) }
    frames[last].cost += cost
    frames[last].packetCount += 1
  }

  mutating func prepend(_ older: CircularBuffer<Frames>) {
    frames.insert(contentsOf: older, at: 0)
  }

  mutating func takeAll() -> [Frames] {
    defer { frames = [] }
    return frames
  }

  private var isLastOpen: Bool {
    guard let last = frames.last else { return false }
    return last.data == nil && last.buffer.readableBytes < Self.sharedSize
  }
}
