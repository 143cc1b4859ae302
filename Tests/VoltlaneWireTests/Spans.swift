import VoltlaneWire

import struct VoltlaneWire.Tag

// The module's functions on arrays: a span cannot pass through the macros of Testing.

func decodeHandshake(_ packet: [UInt8]) throws(HandshakePacketError) -> HandshakePacket {
  try HandshakePacket.decode(packet.span.bytes)
}

func decodeVarint(
  _ bytes: [UInt8], at offset: Int = 0, width: Varint.Width = .u64
) throws(HandshakePacketError) -> Varint.Decoded {
  try Varint.decode(bytes.span.bytes, at: offset, width: width)
}

func decodeTag(_ packet: [UInt8], from sender: FirehoseEnd) throws(TaggedPacketError) -> Tag {
  try Tag.decode(packet.span.bytes, from: sender)
}

/// The error that `body` throws, or nil.
func failure<Failure: Error>(_ body: () throws(Failure) -> Void) -> Failure? {
  do {
    try body()
    return nil
  } catch {
    return error
  }
}
