import NIOCore
import VoltlaneCrypto

// Arrays are made by way of a buffer, which provides its bytes as a span without unsafe code.

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
