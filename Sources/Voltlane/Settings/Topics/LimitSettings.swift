import Relay
import VoltlaneSettings
import VoltlaneWire

struct LimitSettings: SettingsTopic {
  static let title = "Limits"

  let maxPacketSize = RelaySetting(
    Setting(
      name: "max-packet-size", kind: .size(in: RelayConfiguration.maxPacketSizeRange),
      standard: "\(Wire.defaultMaxPacketSize)",
      summary: """
        The largest packet of a client, without the \(Wire.tag) bytes that the firehose adds. With them, the default \
        is exactly 8MiB.
        """),
    reload: .no, to: \.maxPacketSize)

  let clientSendBuffer = RelaySetting(
    Setting(
      name: "client-send-buffer", kind: .size(in: RelayConfiguration.budgetRange), standard: "8MiB",
      summary: """
        How much may wait for a client that reads too slowly; above it, the client is ended. One packet always fits. \
        While more than half of it waits, the relay does not read from the client.
        """),
    reload: .guarded(raised: \.clientSendBuffer), to: \.clientSendBuffer)

  let clientReceiveBuffer = RelaySetting(
    Setting(
      name: "client-receive-buffer", kind: .size(in: RelayConfiguration.clientReceiveBufferRange), standard: "128KiB",
      summary: """
        How much the kernel may receive of a client ahead of the relay; it can take twice that of memory. The kernel \
        gives no more than net.core.rmem_max.
        """),
    reload: .no, to: \.clientReceiveBuffer)

  let packetTimeout = RelaySetting(
    Setting(
      name: "packet-timeout", kind: .orNone(.duration(in: RelayConfiguration.packetTimeoutRange)), standard: "30s",
      summary: "How long a client may take from the first byte of a packet to its last. 0: no limit."),
    reload: .guarded(raised: \.packetTimeout), to: \.packetTimeout)

  let assemblyBudget = RelaySetting(
    Setting(
      name: "assembly-budget",
      kind: .automatic(.size(in: RelayConfiguration.budgetRange)).allowing("and at least --max-packet-size"),
      standard: "auto",
      summary: """
        How much memory unfinished packets of all clients may hold together; above it, the client with the largest is \
        ended. 'auto': an eighth of memory or of the cgroup's limit.
        """),
    reload: .guarded(raised: \.assemblyBudget), to: \.assemblyBudget,
    decide: { program, machine in machine.anEighth(butAtLeast: program.relay.maxPacketSize) })
}
