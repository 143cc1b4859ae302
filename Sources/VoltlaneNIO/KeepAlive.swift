import Glibc
import NIOCore

/// The kernel's way to notice that nobody is there any more on a TCP connection that is silent.
package struct KeepAlive: Sendable {
  /// Seconds of silence before the first probe, and between probes. The kernel takes 1 to 32767.
  private let idle: Int
  private let interval: Int
  /// Probes without an answer until the connection counts as lost.
  private let probes: Int

  /// Probes after `silence`, and then in thirds of it: a connection is lost after twice the time.
  package init(after silence: Duration) {
    idle = Int(min(max(silence.components.seconds, 1), 32_767))
    interval = max(idle / 3, 1)
    // As many as the time has room for: of short times a third is more than a whole second, or less.
    probes = (2 * idle + interval) / (2 * interval)
  }

  /// Turns it on, which a unix socket has no use for.
  package func configure(_ channel: any Channel) throws {
    guard let options = channel.syncOptions, channel.localAddress?.protocol != .unix else { return }
    try options.setOption(.socketOption(.so_keepalive), value: 1)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: idle)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: interval)
    try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: probes)
  }
}
