import Foundation
import Relay
import Testing

@testable import Voltlane

/// Each look at the machine, over files that are made up.
@Suite struct PreflightTests {
  /// A machine on which all is well.
  static let files = [
    "/proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
    "/proc/self/limits": """
    Limit                     Soft Limit           Hard Limit           Units
    Max open files            1024                 1048576              files
    Max locked memory         8388608              8388608              bytes
    """,
    "/proc/sys/fs/nr_open": "1048576\n", "/proc/sys/fs/file-max": "9223372036854775807\n",
    "/proc/sys/fs/epoll/max_user_watches": "1000000\n",
    "/proc/sys/vm/overcommit_memory": "0\n", "/proc/sys/net/core/somaxconn": "4096\n",
    "/proc/sys/net/ipv4/tcp_max_syn_backlog": "4096\n", "/proc/sys/net/ipv4/tcp_syncookies": "1\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/net/ipv4/ip_local_reserved_ports": "8080,42000-42001\n", "/proc/sys/net/core/rmem_max": "212992\n",
    "/proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n", "/proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "/proc/sys/net/ipv4/tcp_congestion_control": "cubic\n", "/proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
  ]

  func findings(
    _ changes: [String: String] = [:], _ arguments: [String] = [], without missing: String? = nil,
    on machine: Machine = .test, ring: RingRefusal? = nil
  ) throws -> [Finding] {
    let files = Self.files.merging(changes) { $1 }.filter { $0.key != missing }
    let configuration = try configure(arguments, on: machine)
    return Preflight(
      configuration: configuration, machine: machine, file: { files[$0] }, ringRefusal: { ring }
    ).findings
  }

  @Test func allIsWell() throws {
    let findings = try findings()
    #expect(findings.count == 18)
    #expect(findings.allSatisfy { $0.level == .ok && $0.advice == nil }, "\(findings)")
  }

  @Test(arguments: [(200, Finding.Level.ok), (16, .ok), (15, .warn), (0, .warn)])
  func threadsThatTheCgroupLeaves(tasks: Int, level: Finding.Level) throws {
    var machine = Machine.test
    machine.tasks = tasks
    let finding = try #require(
      try findings([:], ["--threads", "4", "--firehose-core", "own", "--handshake-workers", "1"], on: machine)
        .first { $0.subject == "threads' limit" })
    #expect(finding.level == level, "\(finding)")
    #expect(finding.what.contains("\(tasks)"))
  }

  /// The file that is changed, to what, and what is found then.
  @Test(
    arguments: [
      ("/proc/sys/kernel/osrelease", "5.9.0", "kernel", .warn), ("/proc/sys/kernel/osrelease", "x", "kernel", .warn),
      ("/proc/sys/kernel/osrelease", "4.4.0", "kernel", .warn), ("/proc/sys/kernel/osrelease", "5.10.0", "kernel", .ok),
      ("/proc/sys/fs/epoll/max_user_watches", "4096", "epoll watches", .warn),
      ("/proc/sys/kernel/osrelease", "10.0", "kernel", .ok),
      ("/proc/self/limits", "Max open files            512      512   files", "descriptors", .fail),
      ("/proc/self/limits", "Max open files            1024     4096  files", "descriptors", .warn),
      ("/proc/self/limits", "Max open files            1024     unlimited  files", "descriptors", .ok),
      ("/proc/sys/fs/file-max", "4096", "open files", .warn),
      ("/proc/self/limits", "Max locked memory         0        0     bytes", "locked memory", .warn),
      ("/proc/sys/vm/overcommit_memory", "2", "overcommit", .warn),
      ("/proc/sys/net/core/somaxconn", "128", "backlog", .warn),
      ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "512", "SYN backlog", .warn),
      ("/proc/sys/net/ipv4/tcp_syncookies", "0", "SYN cookies", .warn),
      ("/proc/sys/net/netfilter/nf_conntrack_max", "65536", "connection tracking", .warn),
      ("/proc/sys/net/ipv4/ip_local_reserved_ports", "", "ports", .warn),
      ("/proc/sys/net/ipv4/ip_local_reserved_ports", "41999,42001-42010", "ports", .warn),
      ("/proc/sys/net/ipv4/ip_local_port_range", "50000 60999", "ports", .ok),
      ("/proc/sys/net/core/rmem_max", "65536", "receive buffers", .warn),
      ("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 1048576", "stream buffers", .warn),
      ("/proc/sys/net/ipv4/tcp_congestion_control", "bbr", "congestion control", .warn),
    ] as [(String, String, String, Finding.Level)])
  func file(name: String, contents: String, subject: String, level: Finding.Level) throws {
    let finding = try #require(try findings([name: contents]).first { $0.subject == subject })
    #expect(finding.level == level, "\(finding)")
    #expect((finding.advice == nil) == (level == .ok))
  }

  /// What the kernel does not tell is not judged.
  @Test(
    arguments: files.keys.filter { !$0.contains("osrelease") && !$0.contains("reserved") && !$0.contains("nr_open") })
  func missingFile(name: String) throws {
    let findings = try findings(without: name)
    #expect(findings.count < 18)
    #expect(findings.allSatisfy { $0.level == .ok }, "\(findings)")
  }

  @Test func refusedRing() throws {
    let refusal = RingRefusal(reason: "it is refused here", advice: "allow it")
    func find(_ io: String) throws -> Finding? {
      try findings([:], ["--io", io], ring: refusal).first { $0.subject == "io_uring" }
    }
    #expect(try find("uring") == .fail("io_uring", "it is refused here", do: "allow it"))
    let auto = try #require(try find("auto"))
    #expect(auto.level == .warn && auto.what.contains("it is refused here: the relay runs over epoll"), "\(auto)")
    #expect(auto.advice == "allow it")
    #expect(try find("epoll")?.level == .ok)
    // By what the kernel does, not by what it says of itself.
    let old = try findings(["/proc/sys/kernel/osrelease": "5.15.0"], ["--io", "uring"], ring: refusal)
    #expect(old.first == .ok("kernel", "Linux 5.15.0"))
    #expect(old.first { $0.subject == "io_uring" }?.level == .fail)
  }

  /// A key that the start would refuse.
  @Test func identityThatCannotBeUsed() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-key-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    func find() throws -> Finding? { try findings([:], ["--identity", file]).first { $0.subject == "identity" } }
    #expect(try find()?.level == .ok)
    // It is looked at, not made.
    #expect(!FileManager.default.fileExists(atPath: file))
    try Data("no key\n".utf8).write(to: URL(fileURLWithPath: file))
    #expect(try find()?.level == .fail)
    #expect(try find()?.what.hasPrefix("the identity file \(file), line 1: ") == true)
    // And one that the start could not make.
    let nowhere = try findings([:], ["--identity", "/no/such/relay.key"]).first { $0.subject == "identity" }
    #expect(nowhere?.level == .fail)
    #expect(nowhere?.what.contains("it is missing and cannot be made: No such file or directory") == true)
  }

  /// A process that may lock any amount learns what others need.
  @Test func lockedMemoryOfThePrivileged() throws {
    let limits = "Max open files            1024     1048576  files\nMax locked memory         65536   65536     bytes"
    func find(_ capabilities: String) throws -> String? {
      try findings(["/proc/self/limits": limits, "/proc/self/status": "Name:\tx\nCapEff:\t\(capabilities)\n"])
        .first { $0.subject == "locked memory" }?.what
    }
    #expect(try find("000001ffffffffff")?.hasPrefix("this process may lock any amount (CAP_IPC_LOCK)") == true)
    #expect(try find("0000000000000000") == "enough for the relay's key and rings")
  }

  @Test func theReceiveBufferThatIsAskedFor() throws {
    let finding = try #require(
      try findings([:], ["--client-receive-buffer", "1MiB"]).first { $0.subject == "receive buffers" })
    #expect(finding.what.hasPrefix("net.core.rmem_max is 212992, less than --client-receive-buffer 1048576: "))
    #expect(finding.advice == "sysctl -w net.core.rmem_max=1048576")
  }

  /// What --max-clients wants against what the process, any process and all of them together may have.
  @Test func descriptorsAgainstTheClients() throws {
    func find(_ clients: String, _ limit: String, _ changes: [String: String] = [:]) throws -> [Finding] {
      let limits = "Max open files            1024     \(limit)  files"
      return try findings(changes.merging(["/proc/self/limits": limits]) { $1 }, ["--max-clients", clients])
        .filter { ["descriptors", "open files"].contains($0.subject) }
    }
    let short = try find("200000", "100000")
    #expect(short[0].what == "at most 100000, a client takes one: --max-clients 200000 takes 200128")
    #expect(short[0].level == .warn && short[1].level == .ok)
    #expect(short[0].advice?.hasPrefix("raise the hard limit: LimitNOFILE=") == true)
    let capped = try find("2000000", "1048576", ["/proc/sys/fs/file-max": "1500000"])
    #expect(capped[0].advice?.hasPrefix("sysctl -w fs.nr_open=2000128, then raise the hard limit") == true)
    #expect(capped[1].advice == "sysctl -w fs.file-max=4000256")
    for (clients, limit) in [("99872", "100000"), ("0", "100000"), ("2000000", "unlimited")] {
      #expect(try find(clients, limit).allSatisfy { $0.level == .ok })
    }
  }

  @Test func budgetsAgainstMemory() throws {
    let usual = try findings([:], []).first { $0.subject == "memory" }
    #expect(usual?.what == "8192MiB, of which --memory-budget allows 4096MiB")
    let whole = try findings([:], ["--memory-budget", "7GiB"]).first { $0.subject == "memory" }
    #expect(whole?.what == "--memory-budget allows 7168MiB of 8192MiB, and the kernel's buffers come on top")
    let finding = try findings([:], ["--assembly-budget", "4GiB"]).first { $0.subject == "memory" }
    #expect(finding?.level == .warn)
  }

  @Test func queuesAgainstTheBacklog() throws {
    let longer = try findings([:], ["--backlog", "8192"]).filter { $0.level == .warn }
    #expect(longer.map(\.subject) == ["backlog", "SYN backlog"])
    #expect(longer[0].what.hasPrefix("net.core.somaxconn is 4096, less than --backlog 8192"))
    #expect(
      longer.map(\.advice) == ["sysctl -w net.core.somaxconn=8192", "sysctl -w net.ipv4.tcp_max_syn_backlog=8192"])
    let shorter = try findings(
      ["/proc/sys/net/core/somaxconn": "128", "/proc/sys/net/ipv4/tcp_max_syn_backlog": "128"], ["--backlog", "128"])
    #expect(shorter.allSatisfy { $0.level == .ok })
  }

  @Test func threadsAgainstCPUs() throws {
    let finding = try findings([:], ["--threads", "9"]).first { $0.subject == "threads" }
    #expect(finding?.what == "10 threads move packets on 4 CPUs")
  }

  @Test func quotaAgainstCPUs() throws {
    var machine = Machine.test
    machine.cpuQuota = 2
    #expect(try findings(on: machine).first { $0.subject == "CPUs" }?.level == .warn)
    #expect(try findings([:], ["--cpus", "0,1"], on: machine).first { $0.subject == "CPUs" }?.level == .ok)
    let pinned = try findings([:], ["--cpus", "0,1,4"], on: machine).first { $0.subject == "CPUs" }
    #expect(pinned?.what.contains("is pinned on 3 CPUs") == true)
  }

  @Test func aFindingIsALineAndWhatToDo() {
    #expect(Finding.ok("kernel", "Linux 6.1").description == "ok    kernel              Linux 6.1")
    #expect(
      Finding.warn("ports", "taken", do: "something").description
        == "warn  ports               taken\n                          do: something")
  }
}
