import Glibc
import NIOCore

/// The kernel's ways to notice that nobody is there any more on a TCP connection.
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

  /// How long what was sent may stay unacknowledged, which a unix socket has no use for. Where probes go out as well,
  /// the kernel lets this time decide about them, instead of their number.
  package static func limitUnacknowledged(_ timeout: Duration, on channel: any Channel) throws {
    guard let options = channel.syncOptions, channel.localAddress?.protocol != .unix else { return }
    // 0 would be the system's limit.
    let milliseconds = max(1, min(timeout / .milliseconds(1), Double(Int32.max)))
    try options.setOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: SocketOptionValue(milliseconds))
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
