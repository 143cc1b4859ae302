import Glibc

/// Connections through a load balancer, which says first whose each one is.
extension Shard {
  /// Reads the header of a connection; with its end the handshake begins.
  @inline(never)
  mutating func readProxyHeader<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let count = recallUnfinished(index)
    let received = kernel.receive(connection.pointee.socket, readBuffer.start + count, ProxyHeader.longest - count)
    guard received > 0 else {
      guard keepHandshakeBytes(index, 0..<count, &kernel) else { return }
      switch received == 0 ? .broken : Refusal(received) {
      case .wouldBlock: break
      case .later: markReady(index)
      case .broken: drop(index, &kernel)
      }
      return
    }
    let total = count + received
    switch ProxyHeader.parse(readBuffer.span(total)) {
    case .malformed: reject(index, .proxyHeader, &kernel)
    case .incomplete:
      guard keepHandshakeBytes(index, 0..<total, &kernel) else { return }
      if connection.pointee.flags.contains(.hungUp) { markReady(index) }
    case .header(let header):
      guard admitProxied(index, header.client, &kernel) else { return }
      guard keepHandshakeBytes(index, header.byteCount..<total, &kernel) else { return }
      markReady(index)
    }
  }

  /// The client behind the proxy is known now. False where it was refused.
  private mutating func admitProxied<K: Kernel & ~Copyable>(
    _ index: UInt32, _ client: ClientAddress?, _ kernel: inout K
  ) -> Bool {
    let connection = connections[index]
    // Without a client it is the proxy's own connection, to which no limit by address applies.
    if let client {
      connection.pointee.address = client.key
      if let reason = admit(client, &connection.pointee.standing, &kernel) {
        reject(index, reason, &kernel)
        return false
      }
    }
    connection.pointee.phase = .version
    setDeadline(index, kernel.now.adding(settings.handshakeTimeout))
    return true
  }
}
