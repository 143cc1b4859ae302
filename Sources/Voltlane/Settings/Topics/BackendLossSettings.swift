import Relay
import VoltlaneSettings

struct BackendLossSettings: SettingsTopic {
  static let title = "Loss of the backend"

  let announce = RelaySetting(
    Setting(
      name: "announce", kind: .onOff, standard: "on",
      summary: """
        Whether the backend is told on every connection but the first which sessions are alive, by a 0x03 each.
        """),
    reload: .yes, to: \.announce)

  let backendLoss = RelaySetting(
    Setting(
      name: "backend-loss", kind: SettingKind<BackendLoss>.word, standard: "hold",
      summary: """
        When the backend is lost: 'hold' keeps the clients; 'drop' ends their sessions and refuses newcomers until it \
        is back; 'exit' ends the sessions and then the relay, with exit code 75.
        """),
    reload: .yes, to: \.backendLoss)

  let backendLossTimeout = RelaySetting(
    Setting(
      name: "backend-loss-timeout",
      kind: .automatic(.duration(in: RelayConfiguration.backendLossTimeoutRange), word: "off")
        .allowing("and with --backend-loss hold only"),
      standard: "off",
      summary: """
        How long clients are held without a backend, from the start or its loss on, before their sessions end and \
        newcomers are refused. 'off': for as long as it takes.
        """),
    reload: .yes, to: \.backendLossTimeout)
}
