import Relay
import VoltlaneSettings

struct ConnectionSettings: SettingsTopic {
  static let title = "Lost connections"

  let halfCloseTimeout = RelaySetting(
    Setting(
      name: "half-close-timeout", kind: .duration(in: RelayConfiguration.halfCloseTimeoutRange), standard: "5s",
      summary: "How long a client that has shut down its sending side is still sent what arrives for it."),
    reload: .yes, to: \.halfCloseTimeout)

  let keepalive = RelaySetting(
    Setting(
      name: "keepalive", kind: .wholeSeconds(in: RelayConfiguration.keepaliveRange), standard: "30s",
      summary: """
        How long a TCP connection, a client's or the backend's, may be silent before it is probed. 0: it never is.
        """),
    reload: .no, to: \.keepalive)

  let coalesceTime = RelaySetting(
    Setting(
      name: "coalesce-time", kind: .fineDuration(in: RelayConfiguration.coalesceTimeRange), standard: "100us",
      summary: """
        How long a thread that would otherwise sleep waits for more packets before it takes those that have arrived: \
        fewer wake-ups, so less CPU, for up to this much delay each way. It only waits if packets arrive in at least \
        half of these times and clients do not send less because of it; a lone client is never delayed. Needs Linux \
        6.10, and io_uring. 0: never wait.
        """),
    reload: .no, to: \.coalesceTime)

  let tcpUserTimeout = RelaySetting(
    Setting(
      name: "tcp-user-timeout", kind: .duration(in: RelayConfiguration.tcpUserTimeoutRange), standard: "60s",
      summary: """
        How long a client may leave data unacknowledged, or its receive window closed, before its connection is given \
        up. 0: the system's limit.
        """),
    reload: .no, to: \.tcpUserTimeout)

  let backendTimeout = RelaySetting(
    Setting(
      name: "backend-timeout", kind: .duration(in: RelayConfiguration.backendTimeoutRange), standard: "30s",
      summary: "How long the backend may leave data unacknowledged before it counts as lost."),
    reload: .yes, to: \.backendTimeout)
}
