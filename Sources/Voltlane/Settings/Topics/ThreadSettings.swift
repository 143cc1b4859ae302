import Relay
import VoltlaneSettings

/// In this order, because what is left to the program depends on the settings before it.
struct ThreadSettings: SettingsTopic {
  static let title = "Threads"

  let cpus = RelaySetting(
    Setting(
      name: "cpus", kind: .automatic(.cpus), standard: "auto",
      summary: """
        CPUs that the relay runs on. Given one for each shard and one for a firehose of its own, each thread is pinned \
        to its CPU, in this order. 'auto': all that are allowed, and nothing is pinned.
        """),
    reload: .no, place: { list, program in program.relay.cpus = list.given?.cpus ?? [] })

  let firehoseCore = RelaySetting(
    Setting(
      name: "firehose-core", kind: .firehoseCore, standard: "auto",
      summary: """
        Whether the connection to the backend has a thread of its own or shares the first shard's. 'auto': shared with \
        one or two CPUs, own from three on.
        """),
    reload: .no, to: \.firehoseCore,
    decide: { program, machine in program.cpuCount(on: machine) < 3 ? .shared : .own })

  let shards = RelaySetting(
    Setting(
      name: "shards", kind: .automatic(.number(in: RelayConfiguration.shardRange)), standard: "auto",
      summary: """
        Threads that serve clients. 'auto': one for each allowed CPU, not counting the firehose's if it has its own.
        """),
    reload: .no, to: \.shards,
    decide: { program, machine in
      let own = program.relay.firehoseCore == .own ? 1 : 0
      return (program.cpuCount(on: machine) - own).clamped(to: RelayConfiguration.shardRange)
    })

  let handshakeWorkers = RelaySetting(
    Setting(
      name: "handshake-workers", kind: .automatic(.number(in: RelayConfiguration.handshakeWorkerRange)),
      standard: "auto",
      summary: "Threads that do the cryptography of handshakes. 'auto': one for every four allowed CPUs."),
    reload: .no, to: \.handshakeWorkers,
    decide: { program, machine in
      ((program.cpuCount(on: machine) + 3) / 4).clamped(to: RelayConfiguration.handshakeWorkerRange)
    })
}

extension SettingKind where Value == CPUList {
  fileprivate static var cpus: SettingKind {
    SettingKind("LIST", allowed: "numbers and ranges such as 0,2-5 of CPUs on which this process may run") {
      text throws(Refusal) in try CPUList(text)
    }
  }
}

extension SettingKind where Value == Automatic<FirehoseCore> {
  fileprivate static var firehoseCore: SettingKind {
    .oneOf([(word: "auto", value: .auto)] + FirehoseCore.allCases.map { (word: $0.rawValue, value: .value($0)) })
  }
}

extension ProgramConfiguration {
  fileprivate func cpuCount(on machine: Machine) -> Int { relay.cpus.isEmpty ? machine.cpuCount : relay.cpus.count }
}
