import Relay
import VoltlaneSettings
import VoltlaneWire

struct SessionSettings: SettingsTopic {
  static let title = "Sessions without a socket"

  let staleTimeout = RelaySetting(
    Setting(
      name: "stale-timeout", kind: .duration(in: RelayConfiguration.staleTimeoutRange), standard: "5m",
      summary: "How long a session that has lost its socket waits for its client to come back. 0: it ends at once."),
    // The cost of sessions without a socket is bounded by their number and their packets, however long they last.
    reload: .yes, to: \.staleTimeout)

  let away = RelaySetting(
    Setting(
      name: "away", kind: .onOff, standard: "off",
      summary: "Whether the backend is told, by a 0x04, when a session has lost its socket and waits for its client."),
    reload: .yes, to: \.tellsAway)

  let maxStaleClients = RelaySetting(
    Setting(
      name: "max-stale-clients", kind: .number(in: RelayConfiguration.maxStaleClientsRange), standard: "65535",
      summary: "How many sessions may be without a socket. At the limit another of them ends first."),
    reload: .guarded(raised: \.maxStaleClients), to: \.maxStaleClients)

  let missedPacketsBuffer = RelaySetting(
    Setting(
      name: "missed-packets-buffer", kind: .size(in: RelayConfiguration.missedPacketsBufferRange), standard: "64KiB",
      summary: """
        What is kept of packets that come for a client while it has no socket; over it, its session ends. One packet \
        always fits, unless it is 0: then the first one ends the session. What its last socket did not deliver is kept \
        besides, whatever this is.
        """),
    reload: .guarded(raised: \.missedPacketsBuffer), to: \.missedPacketsBuffer)

  let missedPacketsTotal = RelaySetting(
    Setting(
      name: "missed-packets-total",
      kind: .automatic(.size(in: RelayConfiguration.budgetRange))
        .allowing("and at least --max-packet-size and \(Wire.sizePrefix)"),
      standard: "auto",
      summary: """
        How much is kept for all clients without a socket together; above it, the one that holds most is ended. \
        'auto': an eighth of memory or of the cgroup's limit.
        """),
    reload: .guarded(raised: \.missedPacketsTotal), to: \.missedPacketsTotal,
    decide: { program, machine in machine.anEighth(butAtLeast: program.largestKeptPacket) })
}
