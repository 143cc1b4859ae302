import Glibc
import Relay
import Testing
import VoltlaneWire

/// What the system may refuse a relay that runs: a thread, a descriptor, memory. It goes on, says what is missing, and
/// nobody pays who does not have to.
@Suite(.serialized, .enabled(if: BuiltRelay.canBeLimited, "the built relay and prlimit are here"))
struct ShortageTests {
  /// `localhost` is a name, which has to be looked up for each dial.
  private static func named(_ backend: RawBackend, _ host: String) -> Endpoint {
    guard case .tcp(_, let port) = backend.endpoint else { return backend.endpoint }
    return .tcp(host: host, port: port)
  }

  private func roundTrip(_ client: RawClient, _ firehose: Firehose) throws -> Bool {
    try client.send([1, 2, 3])
    guard try firehose.receive() == .data(client.id, [1, 2, 3]) else { return false }
    try firehose.send(.data(client.id, [4, 5]))
    return try client.receive() == [4, 5]
  }

  @Test(
    .enabled(if: BuiltRelay.canHaveNoThreads, "a user other than root is at hand"),
    arguments: ["127.0.0.1", "localhost"])
  func `the backend is lost while no thread can be made`(host: String) throws {
    let backend = try RawBackend()
    let relay = try BuiltRelay(
      backend: Self.named(backend, host), isUnprivileged: true, ["--announce", "off"])
    var firehose = try backend.accept()
    let client = try relay.client()
    #expect(try roundTrip(client, firehose))
    try relay.limit("--nproc", "0")
    for _ in 0..<3 {
      firehose.socket.close()
      firehose = try backend.accept()
      #expect(try roundTrip(client, firehose), "\(relay.log)")
    }
    #expect(relay.end() == 0, "\(relay.log)")
  }

  /// Whichever thread is the first that cannot be had, those before it end, and so does the relay.
  @Test(.enabled(if: BuiltRelay.canHaveNoThreads, "a user other than root is at hand"), arguments: 1...9)
  func `threads cannot be had at the start`(threads: Int) throws {
    let path = "/tmp/voltlane-shortage-\(getpid())-\(threads).sock"
    let (code, log) = try BuiltRelay.run(
      threads: threads,
      [
        "--listen", "127.0.0.1:0", "--listen", "unix:\(path)", "--backend", "localhost:1", "--shards", "12",
        "--firehose-core", "own", "--handshake-workers", "1",
      ])
    #expect(code == 1, "\(log)")
    #expect(log.contains("critical cannot start: no thread for '"), "\(log)")
    #expect(access(path, F_OK) != 0)
  }

  /// The limit is below what the relay has, so that nothing can be opened: neither the connection nor what a look-up
  /// needs.
  @Test(arguments: ["127.0.0.1", "localhost"])
  func `the backend is lost while no descriptor can be had`(host: String) throws {
    let backend = try RawBackend()
    let relay = try BuiltRelay(backend: Self.named(backend, host), ["--announce", "off"])
    let firehose = try backend.accept()
    let client = try relay.client()
    #expect(try roundTrip(client, firehose))
    try relay.limit("--nofile", "3")
    firehose.socket.close()
    #expect(relay.says("backend not reached: "), "\(relay.log)")
    if host == "127.0.0.1" { #expect(relay.says("backend not reached: Too many open files"), "\(relay.log)") }
    try relay.limit("--nofile", "1024")
    let next = try backend.accept()
    #expect(try roundTrip(client, next), "\(relay.log)")
    #expect(relay.end() == 0, "\(relay.log)")
  }

  /// The relay has all the address space that it may have. What the C library had reserved for its threads is used up
  /// by a few packets; from then on the system refuses it every larger block.
  @Test func `out of memory an unfinished packet ends its client, and nobody else`() throws {
    let backend = try RawBackend()
    let relay = try BuiltRelay(
      backend: backend.endpoint, ["--assembly-budget", "64GiB", "--memory-budget", "64GiB", "--packet-timeout", "1h"])
    let firehose = try backend.accept()
    let client = try relay.client()
    #expect(try roundTrip(client, firehose))
    try relay.limit("--as", "\(1024 * (try #require(relay.status("VmSize"))))")
    let bytes = Wire.sizePrefixBytes(8_000_000) + [UInt8](repeating: 1, count: 7_900_000)
    var hoarders: [RawClient] = []
    var ended: Set<UInt64> = []
    // The next packet of somebody whose packet is whole. A hoarder that was only read in part before may end meanwhile.
    func nextData() throws -> Tagged {
      while true {
        let packet = try firehose.receive()
        guard packet == .failure(packet.id, "memory") else { return packet }
        #expect(hoarders.contains { $0.id == packet.id })
        ended.insert(packet.id)
      }
    }
    while ended.count < 5, hoarders.count < 100 {
      let hoarder = try relay.client()
      hoarders.append(hoarder)
      try hoarder.socket.send(bytes)
      try client.send([1])
      #expect(try nextData() == .data(client.id, [1]))
    }
    #expect(ended.count >= 5, "\(relay.log)")
    try client.send([1, 2, 3])
    #expect(try nextData() == .data(client.id, [1, 2, 3]))
    try firehose.send(.data(client.id, [4, 5]))
    #expect(try client.receive() == [4, 5])
    #expect(relay.says("sessions ended: the system has no more memory for the relay"), "\(relay.log)")
    // Where there is memory again, all is as before.
    try relay.limit("--as", "unlimited")
    let late = try relay.client()
    let large = [UInt8](repeating: 7, count: 8_000_000)
    let sender = Background { try late.send(large) }
    #expect(try nextData() == .data(late.id, large))
    try sender.join()
    #expect(relay.end() == 0, "\(relay.log)")
  }

  /// What is gone through by one client after the other while there is no memory: handshakes, attempts to come back,
  /// sessions that go stale, the table of their prefixes, a backend that is told of them all.
  @Test func `out of memory the relay serves on`() throws {
    let backend = try RawBackend()
    let relay = try BuiltRelay(
      backend: backend.endpoint, ["--max-clients-per-ip", "0", "--accept-rate-per-ip", "0", "--limit-loopback", "off"])
    var firehose = try backend.accept()
    let client = try relay.client()
    #expect(try roundTrip(client, firehose))
    try relay.limit("--as", "\(1024 * (try #require(relay.status("VmSize"))))")
    var gone = 0
    for _ in 0..<200 {
      // One that gets in goes stale; one that does not is refused.
      guard let passing = try? relay.client() else { continue }
      try passing.send([9])
      #expect(try firehose.receive() == .data(passing.id, [9]))
      passing.socket.close()
      gone += 1
    }
    #expect(gone > 0 && relay.isRunning)
    firehose.socket.close()
    firehose = try backend.accept()
    var told = 0
    while told <= gone, try firehose.receive().flag == 3 { told += 1 }
    #expect(told == gone + 1)
    #expect(relay.end() == 0, "\(relay.log)")
  }
}
