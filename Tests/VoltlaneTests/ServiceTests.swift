import Foundation
import Testing

@testable import Voltlane

/// What a service manager hears, and when threads count as alive.
@Suite struct ServiceTests {
  private let start = SuspendingClock.now

  @Test func onlyWhoeverListensIsTold() throws {
    #expect(ServiceManager([:]) == nil)
    #expect(ServiceManager(["NOTIFY_SOCKET": ""]) == nil)
    let manager = try #require(ServiceManager(["NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000"], process: 7))
    #expect(manager.socket == "/run/n" && manager.watchdog == .seconds(3))
  }

  @Test(arguments: [
    (["WATCHDOG_USEC": "500", "WATCHDOG_PID": "7"], Duration.microseconds(500)),
    (["WATCHDOG_USEC": "500", "WATCHDOG_PID": "8"], nil), (["WATCHDOG_USEC": "0"], nil), (["WATCHDOG_USEC": "x"], nil),
    ([:], nil),
  ])
  func watchdogIsForThisProcess(_ variables: [String: String], _ time: Duration?) {
    #expect(ServiceManager(variables.merging(["NOTIFY_SOCKET": "@n"]) { $1 }, process: 7)?.watchdog == time)
  }

  /// A path, and a name that begins with a zero.
  @Test(arguments: [false, true]) func messagesArrive(isAbstract: Bool) throws {
    let ear = try ServiceEar(isAbstract: isAbstract)
    let manager = try #require(ServiceManager(["NOTIFY_SOCKET": ear.address]))
    #expect(manager.tell(.status("a\nb"), .ready) == 0)
    #expect(ear.next() == "STATUS=a b\nREADY=1")
    let before = System.monotonicMicroseconds()
    #expect(manager.tell(.reloading) == 0)
    let lines = try #require(ear.next()).split(separator: "\n")
    #expect(lines.first == "RELOADING=1")
    let time = try #require(lines.last.flatMap { Int64($0.dropFirst("MONOTONIC_USEC=".count)) })
    #expect((before...System.monotonicMicroseconds()).contains(time))
    manager.tell(.alive)
    manager.tell(.stopping)
    #expect(ear.next() == "WATCHDOG=1")
    #expect(ear.next() == "STOPPING=1")
  }

  @Test(arguments: ["relative", "@", "/", "/nobody/is/there", "@" + String(repeating: "x", count: 200)])
  func whereNobodyListensIsAnError(address: String) throws {
    #expect(try #require(ServiceManager(["NOTIFY_SOCKET": address])).tell(.ready) > 0)
  }

  // MARK: The watchdog

  @Test func aCallThatAllAnsweredIsASignOfLife() {
    var watchdog = Watchdog(within: .seconds(8), now: start)
    // Nobody was called before the first look, so nobody is asked for an answer.
    #expect(watchdog.look(now: start, silent: { ["relay 0"] }) == Watchdog.Outcome(calls: true))
    #expect(watchdog.look(now: start + .seconds(1), silent: { [] }) == nil)
    #expect(watchdog.due == start + .seconds(2))
    #expect(watchdog.look(now: start + .seconds(2), silent: { [] }) == Watchdog.Outcome(isAlive: true, calls: true))
  }

  @Test func oneSilentThreadIsEnough() {
    var watchdog = Watchdog(within: .seconds(8), now: start)
    _ = watchdog.look(now: start, silent: { [] })
    #expect(
      watchdog.look(now: start + .seconds(2), silent: { ["relay 1"] })
        == Watchdog.Outcome(change: .silent(["relay 1"])))
    // It is said once, and no other call covers up that this one was not answered.
    #expect(watchdog.look(now: start + .seconds(4), silent: { ["relay 1"] }) == Watchdog.Outcome())
    #expect(
      watchdog.look(now: start + .seconds(6), silent: { [] })
        == Watchdog.Outcome(isAlive: true, calls: true, change: .heard))
  }

  /// However late the control thread is, threads have had a quarter of the time since they were called.
  @Test func aLateLookMovesTheNext() {
    var watchdog = Watchdog(within: .seconds(8), now: start)
    _ = watchdog.look(now: start + .seconds(100), silent: { [] })
    #expect(watchdog.look(now: start + .seconds(101), silent: { ["relay 0"] }) == nil)
  }

  /// After a standstill of the process the control thread may look before the others have run.
  @Test func aLateLookBlamesNobody() {
    var watchdog = Watchdog(within: .seconds(8), now: start)
    _ = watchdog.look(now: start, silent: { [] })
    #expect(watchdog.look(now: start + .seconds(60), silent: { ["relay 0"] }) == Watchdog.Outcome(calls: true))
    #expect(
      watchdog.look(now: start + .seconds(62), silent: { ["relay 0"] })
        == Watchdog.Outcome(change: .silent(["relay 0"])))
  }

  // MARK: The status

  /// The manager's queue is full of what others say: it hears later that the relay is ready.
  @Test func whoIsReadySaysSoAgain() throws {
    let ear = try ServiceEar(isAbstract: true)
    let manager = try #require(ServiceManager(["NOTIFY_SOCKET": ear.address]))
    while manager.tell(.status("others")) == 0 {}
    var reports = ServiceReports(manager, status: "one", now: start)
    #expect(reports.error == EAGAIN)
    ear.drain()
    for seconds in [5, 10] {
      _ = reports.look(now: start + .seconds(seconds), silent: { [] }, call: {}, status: { "two" })
    }
    #expect(ear.next() == "READY=1")
    #expect(ear.next() == "STATUS=two")
    // Once is enough.
    reports.stop(status: "three")
    #expect(ear.next() == "STOPPING=1")
  }

  @Test func theStatusIsToldWhereItChanges() throws {
    let ear = try ServiceEar(isAbstract: true)
    let manager = try #require(ServiceManager(["NOTIFY_SOCKET": ear.address]))
    var reports = ServiceReports(manager, status: "one", now: start)
    #expect(reports.error == 0)
    #expect(ear.next() == "STATUS=one\nREADY=1")
    #expect(reports.wait(now: start) == ServiceReports.statusInterval)
    func look(_ seconds: Int, _ status: String) {
      let change = reports.look(
        now: start + .seconds(seconds), silent: { ["relay 0"] }, call: { Issue.record("no watchdog, no calls") },
        status: { status })
      #expect(change == nil)
    }
    look(1, "too early")
    look(5, "one")
    look(10, "two")
    reports.beginReload()
    reports.endReload()
    reports.stop(status: "three")
    #expect(ear.next() == "STATUS=two")
    #expect(ear.next()?.hasPrefix("RELOADING=1\n") == true)
    #expect(ear.next() == "READY=1")
    #expect(ear.next() == "STOPPING=1")
    #expect(ear.next() == "STATUS=three")
  }

  // MARK: Passed sockets

  @Test func socketsHaveNames() {
    let variables = ["LISTEN_PID": "7", "LISTEN_FDS": "4", "LISTEN_FDNAMES": "clients:more:clients"]
    let passed = PassedSockets(variables, process: 7)
    #expect(passed.sockets.map(\.name) == ["clients", "more", "clients", "unknown"])
    #expect(passed.sockets.map(\.descriptor) == [3, 4, 5, 6])
    #expect(passed.names(without: ["more"]) == ["clients", "unknown"])
    #expect(PassedSockets(variables, process: 8).sockets.isEmpty)
    #expect(PassedSockets(variables.merging(["LISTEN_FDS": "-1"]) { $1 }, process: 7).sockets.isEmpty)
    #expect(PassedSockets([:], process: 7).sockets.isEmpty)
  }

  @Test func aNameThatWasNotPassedIsRefused() {
    let passed = PassedSockets(["LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"], process: 7)
    #expect(throws: PassedSockets.Failure.absent("clients", others: ["admin"])) { try passed.listeners(["clients"]) }
    let message = PassedSockets.Failure.absent("clients", others: ["admin"]).description
    #expect(
      message == "--listen systemd:clients: no socket of that name was passed to the relay, only admin; "
        + "its socket unit needs FileDescriptorName=clients")
  }
}

/// What a service manager has: a socket to which datagrams are sent.
final class ServiceEar: Sendable {
  /// As NOTIFY_SOCKET has it.
  let address: String
  private let descriptor: Int32
  private let path: String?

  init(isAbstract: Bool) throws {
    let name = "\(NSTemporaryDirectory())voltlane-ear-\(UUID().uuidString.prefix(8))"
    address = isAbstract ? "@\(name)" : name
    path = isAbstract ? nil : name
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var own = sockaddr_un()
    own.sun_family = sa_family_t(AF_UNIX)
    let bytes = isAbstract ? [0] + Array(name.utf8) : Array(name.utf8)
    withUnsafeMutableBytes(of: &own.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let result = withUnsafePointer(to: &own) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
    }
    try #require(result == 0)
    // A message that never comes fails its test, and does not hold up all others.
    var time = timeval(tv_sec: 120, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit {
    close(descriptor)
    if let path { unlink(path) }
  }

  /// The next message; nil if none comes.
  func next() -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &bytes, bytes.count, 0)
    return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
  }

  /// The first message from now on that contains `text`.
  func next(with text: String) -> String? {
    while let message = next() { if message.contains(text) { return message } }
    return nil
  }

  /// Takes what is there already.
  func drain() {
    var byte: UInt8 = 0
    while recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) >= 0 {}
  }
}
