import CLinux
import Glibc

/// Calls on sockets that are not queued: their result is known at once.
extension SystemKernel where Self: ~Copyable {
  @inline(__always)
  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    voltlane_receive(socket, bytes, UInt(count))
  }

  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int {
    voltlane_receive_two(socket, first, UInt(firstCount), second, UInt(secondCount))
  }

  @inline(__always)
  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    voltlane_send(socket, bytes, UInt(count))
  }

  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int {
    voltlane_send_vectors(socket, vectors, Int32(vectorCount))
  }

  mutating func shutdownSending(_ socket: Int32) {
    Glibc.shutdown(socket, Int32(SHUT_WR))
  }

  @discardableResult
  mutating func reset(_ socket: Int32) -> Bool { voltlane_reset(socket) }

  mutating func abandon(_ socket: Int32) {
    voltlane_abandon(socket)
  }

  mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool {
    // `Limits.shunnedMost` of them, on the stack: this has to work even if the system has no memory left.
    var sources = InlineArray<128, voltlane_source>(repeating: voltlane_source())
    var count = 0
    for address in addresses where count < sources.count {
      guard let source = address.source else { continue }
      sources[count] = source
      count += 1
    }
    return sources.span.withUnsafeBufferPointer { voltlane_shun(listener, $0.baseAddress, Int32(count)) }
  }

  mutating func unburden(_ socket: Int32) {
    voltlane_unburden(socket)
  }

  mutating func peerAddress(_ socket: Int32) -> ClientAddress {
    let address = voltlane_peer_address(socket)
    return ClientAddress(bits: UInt128(address.high) << 64 | UInt128(address.low))
  }

  mutating func peerPort(_ socket: Int32) -> UInt16 { voltlane_peer_address(socket).port }

  mutating func unread(_ socket: Int32) -> Int { Int(voltlane_unread(socket)) }

  mutating func unacknowledged(_ socket: Int32) -> Int { Int(voltlane_unacknowledged(socket)) }

  mutating func memory(of socket: Int32) -> Int { Int(voltlane_socket_memory(socket)) }

  mutating func silence(_ socket: Int32) -> UInt64 {
    voltlane_milliseconds_since_ack(socket) &* Limits.millisecond
  }

  mutating func backlog(_ socket: Int32) -> Backlog {
    let backlog = voltlane_backlog_of(socket)
    return Backlog(waiting: Int(backlog.waiting), taken: backlog.is_stream_of_bytes ? backlog.taken : nil)
  }

  mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32) {
    voltlane_set_user_timeout(socket, milliseconds, unanswered)
  }
}
