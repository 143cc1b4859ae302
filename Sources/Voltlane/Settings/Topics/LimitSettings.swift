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
        The largest packet of a client, without the \(Wire.tag) bytes that the firehose adds. The default is exactly \
        8MiB with them.
        """),
    reload: .no, to: \.maxPacketSize)

  let clientSendBuffer = RelaySetting(
    Setting(
      name: "client-send-buffer", kind: .size(in: RelayConfiguration.budgetRange), standard: "8MiB",
      summary: """
        What may wait for a client that reads too slowly; over it, that client ends. One packet always fits. While \
        more than half of it waits, the client itself is not read.
        """),
    reload: .guarded(raised: \.clientSendBuffer), to: \.clientSendBuffer)

  let clientReceiveBuffer = RelaySetting(
    Setting(
      name: "client-receive-buffer", kind: .size(in: RelayConfiguration.clientReceiveBufferRange), standard: "128KiB",
      summary: """
        What the kernel may receive of a client ahead of the relay, which can take twice that of its memory. It gives \
        no more than net.core.rmem_max.
        """),
    reload: .no, to: \.clientReceiveBuffer)

  let packetTimeout = RelaySetting(
    Setting(
      name: "packet-timeout", kind: .orNone(.duration(in: RelayConfiguration.packetTimeoutRange)), standard: "30s",
      summary: "How long a client may take from the first byte of a packet to its last. 0: for ever."),
    reload: .guarded(raised: \.packetTimeout), to: \.packetTimeout)

  let assemblyBudget = RelaySetting(
    Setting(
      name: "assembly-budget",
      kind: .automatic(.size(in: RelayConfiguration.budgetRange)).allowing("and at least --max-packet-size"),
      standard: "auto",
      summary: """
        What unfinished packets of all clients may hold together; over it, the client with the largest ends. 'auto': \
        an eighth of memory or of the cgroup's limit.
        """),
    reload: .guarded(raised: \.assemblyBudget), to: \.assemblyBudget,
    decide: { program, machine in machine.anEighth(butAtLeast: program.relay.maxPacketSize) })
}
