#if TESTABLE
import Glibc
@testable import Relay

/// The kernel that one host sees: its answers come from the ``World``.
struct SimulatedKernel: Kernel, ~Copyable {
  let world: World
  let host: Int
  private var clock: ThreadClock
  /// For each, whether the relay had read the client's FIN when it asked for the send.
  private var queued: [(operation: KernelOperation, token: Token, knowsFin: Bool)] = []
  private var batch: [Completion] = []
  private var taken = 0
  private(set) var hasSettled = true
  private(set) var hasBroughtAll = true

  init(_ world: World, host: Int) {
    self.world = world
    self.host = host
    clock = ThreadClock(machine: world.now)
  }

  var clockShift: UInt64 = 0
  var now: UInt64 { clock.now &+ clockShift }
  var machineNow: UInt64 { clock.machine }
  var grace: UInt64 { clock.grace }
  var standstill: Standstill { clock.standstill }
  mutating func takeOver(_ standstill: Standstill) { clock.takeOver(standstill) }
  mutating func moment() -> UInt64 { world.now }

  // The memory that a call takes is the simulation's, and not the relay's.

  mutating func submit(_ operation: KernelOperation, _ token: Token) {
    world.leaveRelay()
    defer { world.enterRelay() }
    let knowsFin = if case .send(let socket, _, _) = operation { world.link(socket)?.finRead ?? false } else { false }
    queued.append((operation, token, knowsFin))
  }

  mutating func next() -> Completion? {
    world.leaveRelay()
    defer { world.enterRelay() }
    guard taken < batch.count else { return nil }
    taken += 1
    return batch[taken - 1]
  }

  mutating func wait(until deadline: UInt64) {
    world.leaveRelay()
    defer { world.enterRelay() }
    let end = clock.sleeps(until: deadline)
    enter()
    if batch.isEmpty { world.sleeps(host, until: end) } else { world.staysAwake(host) }
  }

  mutating func poll() {
    world.leaveRelay()
    defer { world.enterRelay() }
    clock.staysAwake()
    enter()
    world.staysAwake(host)
  }

  /// A sleep ends: the wait collects what has completed, and reads the clock.
  mutating func wake() { collect() }

  private mutating func enter() {
    world.leaveRelay()
    defer { world.enterRelay() }
    let count = world.submissions(of: queued.count)
    for entry in queued.prefix(count) { world.start(entry.operation, entry.token, host, knowsFin: entry.knowsFin) }
    queued.removeFirst(count)
    collect()
  }

  private mutating func collect() {
    batch.removeAll(keepingCapacity: true)
    taken = 0
    world.take(host, into: &batch)
    hasBroughtAll = queued.isEmpty && !world.hasPosted(host)
    hasSettled = hasBroughtAll && world.sendsUnderWay(host) == 0
    clock.look(world.now)
  }

  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.calls()
    let result = world.link(socket)?.receive(bytes, count) ?? -Int(EBADF)
    world.noteCall("receive", socket, count, result)
    return result
  }

  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    guard firstCount > 0 else { return receive(socket, second, secondCount) }
    let count = receive(socket, first, firstCount)
    guard count == firstCount, secondCount > 0, let link = world.link(socket), !link.arrived.isEmpty else {
      return count
    }
    let more = receive(socket, second, secondCount)
    if more <= 0 { link.readEdge() }
    return count + max(0, more)
  }

  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.calls()
    return world.send(socket, UnsafeRawBufferPointer(start: bytes, count: count))
  }

  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.calls()
    var total = 0
    for index in 0..<vectorCount {
      let vector = UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len)
      let count = world.send(socket, vector)
      guard count >= 0 else { return total > 0 ? total : count }
      total += count
      if count < vector.count { break }
    }
    return total
  }

  mutating func shutdownSending(_ socket: Int32) {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.noteCall("shutdown", socket, 0, 0)
    world.link(socket)?.shutdownSending()
  }
  mutating func reset(_ socket: Int32) -> Bool {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.noteCall("reset", socket, 0, 0)
    return world.link(socket)?.resetByRelay() ?? false
  }
  mutating func abandon(_ socket: Int32) {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.noteCall("abandon", socket, 0, 0)
    world.link(socket)?.abandon()
  }
  mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32) {
    world.leaveRelay()
    defer { world.enterRelay() }
    _ = world.link(socket)
  }
  mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.shun(addresses, at: listener)
  }
  mutating func unburden(_ socket: Int32) {
    world.leaveRelay()
    defer { world.enterRelay() }
    _ = world.link(socket)
  }
  mutating func peerAddress(_ socket: Int32) -> ClientAddress {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.link(socket)?.address ?? .none
  }
  mutating func peerPort(_ socket: Int32) -> UInt16 {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.link(socket)?.port ?? 0
  }
  mutating func unread(_ socket: Int32) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.link(socket)?.arrived.count ?? 0
  }
  mutating func unacknowledged(_ socket: Int32) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.link(socket)?.unacknowledgedForRelay() ?? 0
  }
  mutating func memory(of socket: Int32) -> Int {
    world.leaveRelay()
    defer { world.enterRelay() }
    guard let link = world.link(socket) else { return 0 }
    return 2 * (link.arrived.count + link.unacknowledged)
  }
  mutating func silence(_ socket: Int32) -> UInt64 {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.link(socket)?.silence ?? 0
  }
  mutating func backlog(_ socket: Int32) -> Backlog {
    world.leaveRelay()
    defer { world.enterRelay() }
    guard let link = world.link(socket) else { return Backlog(waiting: 0, taken: 0) }
    return Backlog(waiting: link.unacknowledged, taken: link.isLocal ? nil : UInt64(link.acknowledged))
  }
  mutating func dial(_ address: SocketAddress) -> Int32 {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.dial()
  }
  mutating func dialResult(_ socket: Int32) -> DialResult {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.dialResult(socket)
  }
  mutating func resolve(_ token: Token) {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.resolve(token, host)
  }
  mutating func forget(_ completion: Completion) {}
  mutating func lookUp(_ completion: Completion) -> LookUp { world.lookUp }
  mutating func resolvedAddress(_ index: Int) -> SocketAddress? {
    world.leaveRelay()
    defer { world.enterRelay() }
    return world.hasAddress ? SocketAddress(unixPath: "/simulated") : nil
  }
  mutating func random() -> UInt64 { world.relayChance.next() }
  mutating func ring(_ bell: Bell) {
    world.leaveRelay()
    defer { world.enterRelay() }
    world.ring(bell.ringDescriptor, host)
  }
  mutating func ringAgain(_ completion: Completion) {
    world.leaveRelay()
    defer { world.enterRelay() }
    if completion.result == -ENOMEM { world.ring(Int32(completion.token.index), host) }
  }
  mutating func wakeControl() {}
}
#endif
