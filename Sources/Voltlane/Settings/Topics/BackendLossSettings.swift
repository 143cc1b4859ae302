import Relay
import VoltlaneSettings

struct BackendLossSettings: SettingsTopic {
  static let title = "Loss of the backend"

  let announce = RelaySetting(
    Setting(
      name: "announce", kind: .onOff, standard: "on",
      summary: """
        Whether every connection to the backend but the first begins by telling it which sessions are alive, with one \
        0x03 each.
        """),
    reload: .yes, to: \.announce)

  let backendLoss = RelaySetting(
    Setting(
      name: "backend-loss", kind: SettingKind<BackendLoss>.word, standard: "hold",
      summary: """
        What happens when the backend is lost: 'hold' keeps the clients; 'drop' ends their sessions and refuses new \
        ones until it is back; 'exit' ends the sessions and then the relay, with exit code 75. Before the first \
        backend, all three hold.
        """),
    reload: .yes, to: \.backendLoss)

  let backendLossTimeout = RelaySetting(
    Setting(
      name: "backend-loss-timeout",
      kind: .automatic(.duration(in: RelayConfiguration.backendLossTimeoutRange), word: "off")
        .allowing("and with --backend-loss hold only"),
      standard: "off",
      summary: """
        How long clients are held without a backend, from the start or its loss on, before their sessions end and new \
        ones are refused. 'off': for as long as it takes.
        """),
    reload: .yes, to: \.backendLossTimeout)
}
