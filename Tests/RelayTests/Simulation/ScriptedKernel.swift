import Glibc
import VoltlaneCrypto

@testable import Relay

/// The kernel that a host sees in a simulation: every answer comes from the ``Simulation``.
struct ScriptedKernel: Kernel, ~Copyable {
  let simulation: Simulation
  let host: Int
  private var clock: ThreadClock
  var clockShift: UInt64 = 0
  var now: UInt64 { clock.now &+ clockShift }
  var machineNow: UInt64 { clock.machine }
  var grace: UInt64 { clock.grace }
  var standstill: Standstill { clock.standstill }
  mutating func takeOver(_ standstill: Standstill) { clock.takeOver(standstill) }
  mutating func moment() -> UInt64 { simulation.now }
  private var queued: [(KernelOperation, Token)] = []
  private var batch: [Completion] = []
  private(set) var hasSettled = true

  init(_ simulation: Simulation, host: Int) {
    self.simulation = simulation
    self.host = host
    clock = ThreadClock(machine: simulation.now)
  }

  mutating func submit(_ operation: KernelOperation, _ token: Token) { queued.append((operation, token)) }

  mutating func next() -> Completion? { batch.isEmpty ? nil : batch.removeFirst() }

  mutating func wait(until deadline: UInt64) {
    let end = clock.sleeps(until: deadline)
    enter()
    // A sleep with something to reap ends at once.
    if batch.isEmpty { simulation.sleeps(host, until: end) } else { simulation.staysAwake(host) }
  }

  mutating func poll() {
    clock.staysAwake()
    enter()
    simulation.staysAwake(host)
  }

  /// A sleep ends: its wait collects what has completed, and reads the clock.
  mutating func wake() {
    guard batch.isEmpty else { return }
    collect()
  }

  private mutating func enter() {
    for (operation, token) in queued { simulation.start(operation, token, host) }
    queued.removeAll(keepingCapacity: true)
    collect()
  }

  private mutating func collect() {
    batch += simulation.takeCompletions(host)
    hasSettled = !simulation.hasCompletions(host)
    clock.look(simulation.now)
  }

  var hasBroughtAll: Bool { hasSettled }

  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    simulation.receive(socket, bytes, count)
  }

  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int {
    guard firstCount > 0 else { return simulation.receive(socket, second, secondCount) }
    let count = simulation.receive(socket, first, firstCount)
    guard count == firstCount, secondCount > 0, simulation.socket(socket).available > 0 else { return count }
    let more = simulation.receive(socket, second, secondCount)
    if more <= 0 { simulation.remind(socket) }
    return count + max(0, more)
  }

  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    simulation.socket(socket).calls += 1
    return simulation.send(socket, bytes, count)
  }

  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int {
    simulation.socket(socket).calls += 1
    var total = 0
    for index in 0..<vectorCount {
      let vector = vectors[index]
      let count = simulation.send(socket, vector.iov_base, vector.iov_len)
      guard count >= 0 else { return total > 0 ? total : count }
      total += count
      if count < vector.iov_len { break }
    }
    return total
  }

  mutating func shutdownSending(_ socket: Int32) { simulation.shutdownSending(socket) }
  mutating func reset(_ socket: Int32) -> Bool {
    let socket = simulation.socket(socket)
    socket.relayReset = !socket.isLocal
    return socket.relayReset
  }
  mutating func abandon(_ socket: Int32) { simulation.socket(socket).relayAbandoned = true }
  mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32) {}

  mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool {
    simulation.shunned[listener] = Set(addresses)
    return true
  }
  mutating func unburden(_ socket: Int32) { simulation.socket(socket).isUnburdened = true }
  mutating func peerAddress(_ socket: Int32) -> ClientAddress { simulation.socket(socket).peerAddress }
  mutating func peerPort(_ socket: Int32) -> UInt16 { simulation.socket(socket).peerPort }
  mutating func unread(_ socket: Int32) -> Int { simulation.socket(socket).available }
  mutating func unacknowledged(_ socket: Int32) -> Int {
    precondition(!simulation.socket(socket).relayReset, "a socket that was reset knows nothing of acknowledgements")
    simulation.socket(socket).calls += 1
    return simulation.socket(socket).unacknowledged
  }
  mutating func memory(of socket: Int32) -> Int {
    simulation.socket(socket).available + simulation.socket(socket).unacknowledged
  }
  mutating func silence(_ socket: Int32) -> UInt64 { simulation.socket(socket).silence }
  mutating func dial(_ address: SocketAddress) -> Int32 { simulation.dial() }
  mutating func dialResult(_ socket: Int32) -> DialResult { simulation.dialResult(socket) }
  mutating func backlog(_ socket: Int32) -> Backlog { simulation.socket(socket).backlog }
  mutating func resolve(_ token: Token) {
    simulation.lookUps += 1
    simulation.complete(host, token, 0, more: true)
  }
  mutating func forget(_ completion: Completion) {}
  mutating func lookUp(_ completion: Completion) -> LookUp { simulation.lookUp }
  mutating func resolvedAddress(_ index: Int) -> SocketAddress? {
    simulation.hasAddress ? SocketAddress(unixPath: "/simulated") : nil
  }
  mutating func random() -> UInt64 { simulation.randomForRelay() }
  mutating func ring(_ bell: Bell) { simulation.ring(bell.ringDescriptor) }
  mutating func ringAgain(_ completion: Completion) {}
  mutating func wakeControl() { simulation.controlWakes += 1 }
}
