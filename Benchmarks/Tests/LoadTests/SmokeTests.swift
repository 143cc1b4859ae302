import Glibc
import Testing

@testable import Load

/// Whole runs, small, so that the benchmark cannot rot: against the plain relay of `peers`, which must come out clean,
/// and against the same relay with a fault built in, which must not.
@Suite(.serialized)
struct SmokeTests {
  @Test(arguments: [(1, 64, 1), (1, 64, 64), (100, 64, 1), (20, 0, 4), (20, 7, 4), (20, 16384, 4), (2, 1_000_000, 2)])
  func `the plain relay is found clean`(clients: Int, size: Int, window: Int) throws {
    let peer = try Peer("epoll-relay")
    let packets: UInt64 = size > 10_000 ? 100 : 3000
    let report = try peer.measure(
      peer.plan(clients: clients, size: size, window: window, packets: packets))
    #expect(report.isClean, "\(report.text)")
    #expect(report.packets >= packets)
    #expect(report.relay!.total > 0)
  }

  @Test(arguments: [(1, 64, 1), (20, 64, 64), (20, 0, 4), (20, 16384, 64), (2, 1_000_000, 8)])
  func `the floor gives back every byte`(clients: Int, size: Int, window: Int) throws {
    let peer = try Peer("floor", ["--size", "\(size)"])
    var plan = peer.plan(clients: clients, size: size, window: window, packets: size > 10_000 ? 500 : 3000)
    plan.isPlain = true
    let report = try peer.measure(plan)
    #expect(report.isClean, "\(report.text)")
  }

  @Test func `a backend on its own thread does the same`() throws {
    let peer = try Peer("epoll-relay")
    let report = try peer.measure(peer.plan(clients: 10, size: 64, window: 8, backendThread: true))
    #expect(report.isClean, "\(report.text)")
  }

  @Test(arguments: [LoadPlan.Mode.ingest, .egress, .oneToAll, .idle])
  func `every other mode finds the plain relay clean`(mode: LoadPlan.Mode) throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(mode, clients: 20, size: 64, window: 8)
    if mode == .idle { plan.length = .seconds(0.1) }
    let report = try peer.measure(plan)
    #expect(report.isClean, "\(report.text)")
    #expect(mode == .idle ? report.totalPackets == 20 : report.packets >= 3000)
    #expect(try report.json().contains("\"mode\":\"\(mode.rawValue)\""))
  }

  @Test(arguments: [LoadPlan.Mode.echo, .ingest, .egress, .oneToAll])
  func `packets at a rate come through, and each is timed`(mode: LoadPlan.Mode) throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(mode, clients: 5, size: 64, window: 1, packets: 200)
    plan.pace = .rate(2000)
    let report = try peer.measure(plan)
    #expect(report.isClean, "\(report.text)")
    #expect(report.latency.total >= 200)
  }

  @Test func `what is held back at the end of a measurement at a rate is timed all the same`() throws {
    let late = try LateEcho(answers: true)
    let report = try late.measure(late.plan())
    #expect(report.faults.isEmpty, "\(report.text)")
    #expect(report.totalPackets > 0)
    #expect(report.latency.total == report.totalPackets)
    #expect(report.latency.percentile(0)! >= LateEcho.silence)
  }

  @Test func `what never comes back at a rate counts until it is given up`() throws {
    let late = try LateEcho(answers: false)
    var plan = late.plan()
    plan.drainTimeout = 0.2
    let report = try late.measure(plan)
    #expect(report.totalPackets == 0)
    #expect(report.faults.lost > 0)
    #expect(report.latency.total == UInt64(report.faults.lost))
    #expect(report.latency.percentile(0)! >= 200_000_000)
  }

  @Test func `a figure that was asked for is there, or a note says why not`() throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(clients: 2, size: 64, window: 8)
    plan.countsSystemCalls = true
    plan.samplesUserShare = true
    let report = try peer.measure(plan)
    func isExplained(_ note: String) throws -> Bool {
      try report.text.contains(note) && report.json().contains(note)
    }
    #expect(try (report.systemCallsPerPacket != nil) != isExplained("system calls were not counted"))
    #expect(try (report.userShare != nil) != isExplained("time in user space was not sampled"))
  }

  @Test func `where nothing comes, no system calls are counted, and a note says so`() throws {
    let late = try LateEcho(answers: false)
    var plan = late.plan()
    plan.relayPID = getpid()
    plan.countsSystemCalls = true
    plan.drainTimeout = 0.2
    let report = try late.measure(plan)
    #expect(report.systemCallsPerPacket == nil)
    #expect(report.notes.contains { $0.contains("system calls were not counted") })
  }

  @Test func `clients that stall are not timed, and find everything in the end`() throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(clients: 10, size: 1024, window: 1, packets: 800)
    plan.stalled = 2
    plan.pace = .rate(4000)
    let report = try peer.measure(plan)
    #expect(report.isClean, "\(report.text)")
    #expect((800...1000).contains(report.latency.total))
    #expect(report.totalPackets > report.packets + 150, "those that stalled had theirs after the measurement")
  }

  @Test(arguments: [LoadPlan.Mode.echo, .ingest, .egress])
  func `packets of many sizes come through`(mode: LoadPlan.Mode) throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(mode, clients: 5, size: 0, window: 8)
    plan.sizes = try PacketSizes("0,5,64:20,1500:10,70000")
    let report = try peer.measure(plan)
    #expect(report.isClean, "\(report.text)")
  }

  @Test(arguments: ["corrupt", "drop", "swap", "truncate", "misroute"])
  func `a faulty relay is found out when only the backend sends`(fault: String) throws {
    let peer = try Peer("faulty-relay", ["--fault", fault, "--fault-at", "1000"])
    let report = try peer.measure(peer.plan(.egress, clients: 3, size: 64, window: 8))
    #expect(!report.faults.isEmpty)
  }

  @Test(arguments: ["corrupt", "drop", "duplicate", "swap", "truncate", "misroute", "close"], [4, 64])
  func `a faulty relay is found out`(fault: String, size: Int) throws {
    let peer = try Peer("faulty-relay", ["--fault", fault, "--fault-at", "1000"])
    let report = try peer.measure(peer.plan(clients: 3, size: size, window: 8))
    #expect(!report.isClean)
    #expect(!report.faults.isEmpty)
    guard size >= Pattern.label else { return }
    var expected = Faults()
    switch fault {
    case "corrupt": expected.corrupt = 1
    case "drop": expected.lost = 1
    case "duplicate": expected.duplicates = 1
    case "swap": expected.outOfOrder = 1
    case "truncate": expected.wrongSize = 1
    case "close":
      #expect(report.faults.closed == 1)
      return
    default: return
    }
    #expect(report.faults == expected)
  }

  @Test func `a relay that is not there is an error`() throws {
    let peer = try Peer("epoll-relay")
    var plan = peer.plan(clients: 1, size: 64, window: 1)
    plan.relay = try Address("127.0.0.1:1")
    plan.startTimeout = 0.2
    #expect(throws: BenchError.self) { try peer.measure(plan) }
  }

  @Test func `too many clients are an error that says how many fit`() throws {
    let peer = try Peer("epoll-relay")
    let plan = peer.plan(clients: 1_000_000_000, size: 64, window: 1)
    #expect(throws: BenchError.self) { try peer.measure(plan) }
  }
}
