import NIOCore
import VoltlaneCrypto

// Bytes as arrays, by way of a buffer: it gives its bytes out as a span without unsafe code.

extension PublicKey {
  init(bytes: [UInt8]) throws(KeyError) {
    let buffer = ByteBuffer(bytes: bytes)
    try self.init(sec1: buffer.readableBytesSpan)
  }
}

extension SecretKey {
  convenience init(bytes: [UInt8]) throws(KeyError) {
    let buffer = ByteBuffer(bytes: bytes)
    try self.init(bytes: buffer.readableBytesSpan)
  }
}

extension ByteBuffer {
  init<let count: Int>(_ bytes: InlineArray<count, UInt8>) {
    self.init(bytes: bytes.indices.map { bytes[$0] })
  }
}
