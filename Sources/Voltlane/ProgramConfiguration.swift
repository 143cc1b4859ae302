import Logging
import Relay
import VoltlaneSettings
import VoltlaneText
import VoltlaneWire

/// What the program does: its settings, with everything that was left to the machine decided.
struct ProgramConfiguration: Sendable {
  /// How the relay runs. Where the backend is embedded, its address is not known yet.
  var relay: RelayConfiguration
  /// Whether the relay gets a backend in this process.
  var embedsEcho: Bool
  /// The file of the relay's key; nil: a fresh key.
  var identity: String?
  var logLevel: Logger.Level

  /// Reads `flags`, and decides on `machine` what they leave open.
  init(_ flags: Flags, on machine: Machine) throws(SettingError) {
    let listeners = try Self.listeners(flags.addresses.listen)
    let maxPacketSize = try Settings.maxPacketSize.value(of: flags.limits.maxPacketSize).bytes
    let pinned = try Self.cpus(flags.threads.cpus, on: machine)
    let cpuCount = pinned.isEmpty ? machine.cpuCount : pinned.count
    let firehose = try Settings.firehoseCore.value(of: flags.threads.firehoseCore).or(cpuCount < 3 ? .shared : .own)

    switch try Settings.backend.value(of: flags.addresses.backend) {
    case .address(let endpoint):
      try Self.check(flags.addresses, listeners, leadNotTo: endpoint)
      relay = RelayConfiguration(listeners: listeners, backend: endpoint)
      embedsEcho = false
    case .echo:
      relay = RelayConfiguration(listeners: listeners, backend: .tcp(host: "127.0.0.1", port: 0))
      embedsEcho = true
    }
    if case .value(let file) = try Settings.identity.value(of: flags.operation.identity) { identity = file }
    logLevel = try Settings.logLevel.value(of: flags.operation.logLevel)

    relay.firehoseCore = firehose
    relay.shards = try Settings.shards.value(of: flags.threads.shards)
      .or(Self.clamp(firehose == .own ? cpuCount - 1 : cpuCount, to: RelayConfiguration.shardRange))
    relay.cpus = pinned
    relay.handshakeWorkers = try Settings.handshakeWorkers.value(of: flags.threads.handshakeWorkers)
      .or(Self.clamp((cpuCount + 3) / 4, to: RelayConfiguration.handshakeWorkerRange))
    relay.maxPacketSize = maxPacketSize
    relay.clientSendBuffer = try Settings.clientSendBuffer.value(of: flags.limits.clientSendBuffer).bytes
    relay.packetTimeout = try Settings.packetTimeout.value(of: flags.limits.packetTimeout)
    relay.assemblyBudget = try Self.assemblyBudget(
      flags.limits.assemblyBudget, maxPacketSize: maxPacketSize, on: machine)
    try setSessions(flags.sessions, on: machine)
    try setConnections(flags.connections)
    try setBackendLoss(flags.backendLoss)
    relay.congestionControl = try Self.congestionControl(flags.operation.congestionControl, on: machine)
    relay.shutdownTimeout = try Settings.shutdownTimeout.value(of: flags.operation.shutdownTimeout)
    relay.eventLevel = Event.Level(logLevel)
  }

  private mutating func setSessions(_ flags: Flags.Sessions, on machine: Machine) throws(SettingError) {
    relay.staleTimeout = try Settings.staleTimeout.value(of: flags.staleTimeout)
    relay.maxStaleClients = try Settings.maxStaleClients.value(of: flags.maxStaleClients)
    relay.missedPacketsBuffer = try Settings.missedPacketsBuffer.value(of: flags.missedPacketsBuffer).bytes
    relay.missedPacketsTotal = try Self.missedPacketsTotal(
      flags.missedPacketsTotal, maxPacketSize: relay.maxPacketSize, on: machine)
  }

  private mutating func setConnections(_ flags: Flags.Connections) throws(SettingError) {
    relay.halfCloseTimeout = try Settings.halfCloseTimeout.value(of: flags.halfCloseTimeout)
    relay.keepalive = try Settings.keepalive.value(of: flags.keepalive)
    relay.tcpUserTimeout = try Settings.tcpUserTimeout.value(of: flags.tcpUserTimeout)
    relay.backendTimeout = try Settings.backendTimeout.value(of: flags.backendTimeout)
  }

  private mutating func setBackendLoss(_ flags: Flags.BackendLosses) throws(SettingError) {
    relay.announce = try Settings.announce.value(of: flags.announce)
    relay.backendLoss = try Settings.backendLoss.value(of: flags.backendLoss)
    guard case .value(let timeout) = try Settings.backendLossTimeout.value(of: flags.backendLossTimeout) else { return }
    guard relay.backendLoss == .hold else {
      throw Settings.backendLossTimeout.error(
        flags.backendLossTimeout[0], .because("--backend-loss \(relay.backendLoss.rawValue) holds no clients"))
    }
    relay.backendLossTimeout = timeout
  }

  /// Two equal listeners would both succeed (SO_REUSEPORT), which nobody means.
  private static func listeners(_ given: [Given]) throws(SettingError) -> [Endpoint] {
    let listeners = try Settings.listen.values(of: given)
    for (index, listener) in listeners.enumerated() where listeners[..<index].contains(listener) {
      if case .tcp(_, port: 0) = listener { continue }
      throw Settings.listen.error(given[index], .because("it was given before"))
    }
    return listeners
  }

  /// A relay that is its own backend would be its own client too, and speak the one protocol to the other.
  private static func check(
    _ flags: Flags.Addresses, _ listeners: [Endpoint], leadNotTo backend: Endpoint
  ) throws(SettingError) {
    for listener in listeners where listener.isReached(at: backend) {
      let reason = "it is the relay's own address: --listen \(listener)"
      throw Settings.backend.error(
        flags.backend.first ?? Given(text: Settings.backend.standard, origin: Settings.backend.flag), .because(reason))
    }
  }

  private static func cpus(_ given: [Given], on machine: Machine) throws(SettingError) -> [Int] {
    guard case .value(let list) = try Settings.cpus.value(of: given) else { return [] }
    for cpu in list.cpus where !machine.allowedCPUs.contains(cpu) {
      let allowed = CPUList(cpus: machine.allowedCPUs)
      throw Settings.cpus.error(given[0], .because("this process may not run on CPU \(cpu), only on \(allowed)"))
    }
    return list.cpus
  }

  private static func assemblyBudget(
    _ given: [Given], maxPacketSize: Int, on machine: Machine
  ) throws(SettingError) -> Int {
    let automatic = anEighth(of: machine, butAtLeast: maxPacketSize)
    let budget = try Settings.assemblyBudget.value(of: given).or(automatic).bytes
    guard budget >= maxPacketSize else {
      throw Settings.assemblyBudget.error(
        given[0], .because("it is less than --max-packet-size, which is \(ByteSize(bytes: maxPacketSize))"))
    }
    return budget
  }

  private static func missedPacketsTotal(
    _ given: [Given], maxPacketSize: Int, on machine: Machine
  ) throws(SettingError) -> Int {
    let onePacket = Wire.sizePrefix + maxPacketSize
    let total = try Settings.missedPacketsTotal.value(of: given).or(anEighth(of: machine, butAtLeast: onePacket)).bytes
    guard total >= onePacket else {
      throw Settings.missedPacketsTotal.error(
        given[0], .because("the largest packet needs \(onePacket): --max-packet-size and \(Wire.sizePrefix)"))
    }
    return total
  }

  /// A small machine gets by with less for everybody, but one packet of legal size must fit.
  private static func anEighth(of machine: Machine, butAtLeast least: Int) -> ByteSize {
    ByteSize(bytes: clamp(max(machine.memory / 8, least), to: RelayConfiguration.budgetRange))
  }

  private static func congestionControl(_ given: [Given], on machine: Machine) throws(SettingError) -> String? {
    guard case .value(let name) = try Settings.congestionControl.value(of: given) else { return nil }
    // Where the kernel does not say what it has, it will say so when a socket is made.
    if let available = machine.congestionControls, !available.contains(name) {
      let names = available.joined(separator: ", ")
      throw Settings.congestionControl.error(given[0], .because("this kernel has \(names)"))
    }
    return name
  }

  private static func clamp(_ number: Int, to range: ClosedRange<Int>) -> Int {
    min(max(number, range.lowerBound), range.upperBound)
  }
}
