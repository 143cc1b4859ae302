import VoltlaneCrypto
import VoltlaneWire

@testable import Relay
@testable import VoltlaneClient

/// The formats of the wire, each by itself.
enum FuzzWire {
  // MARK: PROXY headers

  /// However a header is cut, it means the same; and what it means is known as soon as it can be.
  static func runProxyHeader(_ bytes: [UInt8]) {
    let all = bytes.span.bytes
    var decided: ProxyHeader.Outcome?
    for count in 0...min(bytes.count, ProxyHeader.longestStart + 8) {
      let outcome = ProxyHeader.parse(all.extracting(0..<count))
      if let decided { precondition(outcome == decided, "\(decided) became \(outcome) with byte \(count)") }
      if outcome != .incomplete { decided = outcome }
      if count >= ProxyHeader.longestStart { precondition(outcome != .incomplete, "a header never ends") }
    }
    guard case .header(let header)? = decided else { return }
    precondition(header.byteCount <= ProxyHeader.longestStart)
    if let client = header.client {
      precondition(client.alike.contains(client.bits) && !client.key.description.isEmpty, "\(client.bits)")
    }
    let count = min(bytes.count - header.byteCount, Int(header.values.remaining))
    let values = all.extracting(header.byteCount..<(header.byteCount + count))
    var whole = header.values
    let fault = whole.parse(values)
    var pieces = header.values
    var start = 0
    var size = 1
    while start < count {
      let end = min(start + size, count)
      pieces = ProxyValues(words: pieces.words)
      if let found = pieces.parse(values.extracting(start..<end)) {
        precondition(found == fault, "\(found) in pieces, \(String(describing: fault)) as a whole")
        return
      }
      (start, size) = (end, size % 7 + 1)
    }
    if count > 0 { precondition(fault == nil && pieces == whole, "\(String(describing: fault)) as a whole only") }
  }

  // MARK: Packets

  /// Cuts the bytes into packets as the firehose and the libraries do, and reads each tag as either end would.
  static func runTaggedPackets(_ bytes: [UInt8]) {
    let all = bytes.span.bytes
    var start = 0
    while bytes.count - start >= Wire.sizePrefix {
      let size = Int(all.littleEndianUInt32(at: start))
      start += Wire.sizePrefix
      guard size <= bytes.count - start else { return }
      let packet = all.extracting(start..<(start + size))
      for end in [FirehoseEnd.relay, .backend] {
        do throws(TaggedPacketError) {
          let tag = try Tag.decode(packet, from: end)
          precondition(tag == Tag(packet, from: end))
          let framed = tag.framed(dataCount: size - Wire.tag)
          precondition(framed == Array(bytes[(start - Wire.sizePrefix)..<(start + Wire.tag)]))
        } catch {
          precondition(Tag(packet, from: end) == nil && !error.description.isEmpty)
        }
      }
      start += size
    }
  }

  /// A packet that is understood is written as it was, or shorter; numbers too.
  static func runHandshakePacket(_ bytes: [UInt8]) {
    let packet = bytes.span.bytes
    for width in [Varint.Width.u32, .u64] {
      guard let number = try? Varint.decode(packet, at: 0, width: width) else { continue }
      let written = Varint.encode(number.value)
      precondition(written.count <= number.byteCount && number.byteCount <= bytes.count)
      precondition((try? Varint.decode(written.span.bytes, at: 0, width: .u64))?.value == number.value)
    }
    do throws(HandshakePacketError) {
      let decoded = try HandshakePacket.decode(packet)
      let written: FramedHandshakePacket
      switch decoded {
      case .ping: written = .ping
      case .protocolVersion(let version): written = .protocolVersion(version)
      case .publicKey(let place):
        written = .publicKey(packet.extracting(place))
        if let key = try? PublicKey(sec1: packet.extracting(place)) {
          let compressed = key.compressed
          precondition((try? PublicKey(sec1: compressed.span.bytes)) == key)
        }
      case .clientID(let id): written = .clientID(id)
      case .challenge(let place): written = .challenge(packet.extracting(place))
      case .challengeResponse(let place): written = .challengeResponse(packet.extracting(place))
      }
      precondition(written.byteCount <= bytes.count + Wire.sizePrefix)
    } catch {
      precondition(!error.description.isEmpty)
    }
  }

  // MARK: The client's side of the handshake

  private static let client = secret(1)
  private static let relay = secret(2)
  private static func secret(_ last: UInt8) -> SecretKey? {
    let bytes = Array(repeating: 0 as UInt8, count: 31) + [last]
    return try? SecretKey(bytes: bytes.span.bytes)
  }

  /// What a relay may say, right packets among it: the machine answers, ends or refuses, and goes no further then.
  static func runClientHandshake(_ bytes: [UInt8]) {
    guard let client, let relay else { preconditionFailure("there are no keys") }
    var script = FuzzScript(bytes)
    let sessionKey = relay.sessionKey(with: client.publicKey)
    let options = script.byte()
    var machine =
      options & 1 == 0
      ? Handshake(newWith: client.publicKey, relayKey: options & 2 == 0 ? nil : relay.publicKey)
      : Handshake(returning: .init(clientID: 7, relayKey: relay.publicKey), sessionKey: sessionKey)
    var sent = machine.opening.count
    while !script.isOver {
      var packet = script.piece()
      if packet.isEmpty { packet = rightPacket(script.byte(), relay, sessionKey) }
      do throws(ClientError) {
        switch try machine.receive(packet.span.bytes) {
        case .more: break
        case .send(let answer): sent += answer.count
        case .done: return
        }
      } catch {
        precondition(!"\(error)".isEmpty)
        break
      }
    }
    // A version, an id and a response with a ping, at most.
    precondition(sent < 200, "it has sent \(sent) bytes")
    _ = machine.ending(isOrderly: options & 4 == 0)
  }

  /// What the relay would say, without its size prefix.
  private static func rightPacket(_ kind: UInt8, _ relay: SecretKey, _ key: SessionKey) -> [UInt8] {
    let packet: FramedHandshakePacket
    switch kind % 4 {
    case 0: packet = relay.publicKey.withCompressed { .publicKey($0) }
    case 1: packet = .clientID(UInt64(kind))
    case 2:
      let plain = SealedBox.Plain(repeating: kind)
      let box = SealedBox.seal(plain.span.bytes, key: key, nonce: .init(repeating: kind))
      packet = .challenge(box.span.bytes)
    default: packet = .ping
    }
    return Array(packet.bytes.dropFirst(Wire.sizePrefix))
  }
}
