import Relay
import VoltlaneSettings

/// In this order, because what is left to the program depends on the settings before it.
struct ThreadSettings: SettingsTopic {
  static let title = "Threads"

  let cpus = RelaySetting(
    Setting(
      name: "cpus", kind: .automatic(.cpus), standard: "auto",
      summary: """
        CPUs that the relay runs on. Given one for each thread that may serve clients and one for a firehose of its \
        own, each of these threads is pinned to its CPU, in this order. 'auto': all that are allowed, and nothing is \
        pinned.
        """),
    reload: .no, place: { list, program in program.relay.cpus = list.given?.cpus ?? [] })

  let threads = RelaySetting(
    Setting(
      name: "threads", kind: .automatic(.threads), standard: "auto",
      summary: """
        Threads that serve clients. 'auto': as many as the traffic needs, at most one for each allowed CPU; shards, \
        and the firehose, move to another thread when one has no more to give and a CPU is free, and back when fewer \
        would do. With a number nothing moves.
        """),
    reload: .no, to: \.threads,
    decide: { program, machine in .upTo(program.cpuCount(on: machine).clamped(to: RelayConfiguration.shardRange)) })

  let firehoseCore = RelaySetting(
    Setting(
      name: "firehose-core", kind: .firehoseCore, standard: "auto",
      summary: """
        Whether the connection to the backend has a thread of its own or shares the first shard's. 'auto': it moves as \
        shards do; where --threads fixes their number, it shares with one or two, and has its own from three on.
        """),
    reload: .no, to: \.firehoseCore,
    decide: { program, _ in
      guard program.relay.threads.isFixed else { return .moving }
      return program.relay.threads.most < 3 ? .shared : .own
    })

  let shards = RelaySetting(
    Setting(
      name: "shards", kind: .automatic(.number(in: RelayConfiguration.shardRange)), standard: "auto",
      summary: """
        Parts into which clients are divided, each of which one thread serves at a time; there are never more threads \
        than shards. 'auto': one for each allowed CPU, not counting the firehose's if it always has its own, and at \
        least one for each of --threads.
        """),
    reload: .no, to: \.shards,
    decide: { program, machine in
      let own = program.relay.firehoseCore == .own ? 1 : 0
      let threads = program.relay.threads.isFixed ? program.relay.threads.most : 1
      return max(program.cpuCount(on: machine) - own, threads).clamped(to: RelayConfiguration.shardRange)
    })

  let io = RelaySetting(
    Setting(
      name: "io", kind: .word, standard: "auto",
      summary: """
        How threads reach the kernel. 'uring': by io_uring, which makes many calls at once; the relay does not start \
        where the kernel refuses it. 'epoll': by epoll and a call for each send, which any Linux and any container \
        allows. 'auto': by io_uring where the kernel gives all that is needed of it, otherwise by epoll; the log says \
        which, and why.
        """),
    reload: .no, to: \.io)

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

extension SettingKind where Value == Threads {
  fileprivate static var threads: SettingKind {
    let number = SettingKind<Int>.number(in: RelayConfiguration.shardRange)
    return SettingKind(number.placeholder, allowed: number.allowed) { text throws(Refusal) in
      .fixed(try number.read(text))
    }
  }
}

extension SettingKind where Value == Automatic<FirehoseCore> {
  fileprivate static var firehoseCore: SettingKind {
    .oneOf([(word: "auto", value: .auto)] + [.own, .shared].map { (word: "\($0)", value: .value($0)) })
  }
}

extension ProgramConfiguration {
  fileprivate func cpuCount(on machine: Machine) -> Int {
    machine.servingThreads(on: relay.cpus.isEmpty ? machine.cpuCount : relay.cpus.count)
  }
}
