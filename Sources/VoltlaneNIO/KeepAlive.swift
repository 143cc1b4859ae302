import Glibc
import NIOCore

/// How the kernel notices that the peer of a TCP connection is gone.
package struct KeepAlive: Sendable {
  /// Seconds of silence before the first probe, and between probes. The kernel takes 1 to 32767.
  private let idle: Int
  private let interval: Int
  /// Probes without an answer until the connection counts as lost.
  private let probes: Int

  /// Probes after `silence`, and then every third of it: a connection is lost after twice that time.
  package init(after silence: Duration) {
    idle = Int(min(max(silence.components.seconds, 1), 32_767))
    interval = max(idle / 3, 1)
    // As many as the time has room for: a third of a short time, rounded to whole seconds, may be more or less than a
    // third.
    probes = (2 * idle + interval) / (2 * interval)
  }

  /// How long sent data may stay unacknowledged; it does not apply to unix sockets. If probes are sent as well, this
  /// time decides when the connection is lost, and not their number.
  package static func limitUnacknowledged(_ timeout: Duration, on channel: any Channel) throws {
    guard let options = channel.syncOptions, channel.localAddress?.protocol != .unix else { return }
    // 0 would mean the system's limit.
    let milliseconds = max(1, min(timeout / .milliseconds(1), Double(Int32.max)))
    try options.setOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: SocketOptionValue(milliseconds))
  }

  /// Turns it on; it does not apply to unix sockets.
  package func configure(_ channel: any Channel) throws {
    guard let options = channel.syncOptions, channel.localAddress?.protocol != .unix else { return }
    try options.setOption(.socketOption(.so_keepalive), value: 1)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: idle)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: interval)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: probes)
  }
}
