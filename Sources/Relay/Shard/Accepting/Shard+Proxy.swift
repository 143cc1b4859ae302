import Glibc

/// Connections through a load balancer, which first says whose connection it is.
extension Shard where K: ~Copyable {
  /// Reads the header of a connection; with its end the handshake begins.
  @inline(never)
  mutating func readProxyHeader(_ index: UInt32, _ kernel: inout K) {
    if connections[index].proxyValues.remaining > 0 { return passProxyValues(index, &kernel) }
    let count = restoreKept(index)
    let wanted = ProxyHeader.longestStart - count
    let received = kernel.receive(connections[index].socket, readBuffer.start + count, wanted)
    guard received > 0 else {
      guard keepHandshakeBytes(index, 0..<count, &kernel) else { return }
      return endProxyRead(index, received, &kernel)
    }
    let total = count + received
    switch ProxyHeader.parse(readBuffer.span(total)) {
    case .malformed(let fault): refuse(index, fault.reason, &kernel)
    case .incomplete:
      guard keepHandshakeBytes(index, 0..<total, &kernel) else { return }
      if connections[index].flags.contains(.hungUp) { markReady(index) }
    case .header(let header):
      var values = header.values
      let end = header.byteCount + min(total - header.byteCount, Int(values.remaining))
      if let fault = values.parse(readBuffer.span(total).extracting(header.byteCount..<end)) {
        return refuse(index, fault.reason, &kernel)
      }
      guard values.remaining == 0 else {
        connections[index].proxyValues = values
        // Kept until the checksum is known, which vouches for the address.
        guard keepHandshakeBytes(index, 0..<header.byteCount, &kernel) else { return }
        return markReady(index)
      }
      guard endProxyHeader(index, header, &kernel) else { return }
      guard keepHandshakeBytes(index, end..<total, &kernel) else { return }
      markReady(index)
    }
  }

  /// Reads on through the values, up to their end and no further.
  private mutating func passProxyValues(_ index: UInt32, _ kernel: inout K) {
    var values = connections[index].proxyValues
    let wanted = min(Int(values.remaining), Limits.proxyRead)
    let received = kernel.receive(connections[index].socket, readBuffer.start, wanted)
    guard received > 0 else { return endProxyRead(index, received, &kernel) }
    if let fault = values.parse(readBuffer.span(received)) { return refuse(index, fault.reason, &kernel) }
    connections[index].proxyValues = values
    if values.remaining == 0 {
      let count = restoreKept(index)
      guard case .header(let header) = ProxyHeader.parse(readBuffer.span(count)),
        endProxyHeader(index, header, &kernel)
      else { return }
    }
    if received == wanted || connections[index].flags.contains(.hungUp) { markReady(index) }
  }

  /// A receive brought nothing.
  private mutating func endProxyRead(_ index: UInt32, _ result: Int, _ kernel: inout K) {
    switch result == 0 ? .broken : NoBytes(result) {
    case .wouldBlock: break
    case .later: markReady(index)
    case .broken: abort(index, &kernel)
    }
  }

  /// The header is complete: the client behind the proxy is known, and what follows is its own. Returns false where the
  /// client was refused.
  private mutating func endProxyHeader(
    _ index: UInt32, _ header: ProxyHeader, _ kernel: inout K
  ) -> Bool {
    connections[index].forgetProxyValues()
    // Without a client it is the proxy's own connection, to which no limit by address applies.
    if let client = header.client {
      connections[index].address = client.key
      if settings.tellsAddresses { connections.origins[index] = ClientOrigin(client, port: header.port) }
      var standing = connections[index].standing
      let reason = admit(client, &standing, &kernel)
      connections[index].standing = standing
      if let reason {
        refuse(index, reason, &kernel)
        return false
      }
    }
    enter(.version, index)
    setDeadline(index, kernel.now.adding(settings.handshakeTimeout))
    return true
  }
}
