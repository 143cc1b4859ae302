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
  /// The file of which settings were read.
  var file: String?
  /// Files of networks.
  var listFiles: [String] = []
  /// The file of the relay's key; nil: a fresh key.
  var identity: String?
  var logLevel: Logger.Level
  /// What was decided for each setting that was left to the program.
  var decisions: [(setting: String, value: String)] = []

  /// Reads what was given, and decides on `machine` what that leaves open.
  init(
    _ given: GivenSettings, on machine: Machine, files: SettingsFiles = SettingsFiles()
  ) throws(SettingError) {
    let listeners = try Self.listeners(given)
    switch try given.value(of: Settings.backend) {
    case .address(let endpoint):
      try Self.check(given, listeners, leadNotTo: endpoint)
      relay = RelayConfiguration(listeners: listeners, backend: endpoint)
      embedsEcho = false
    case .echo:
      relay = RelayConfiguration(listeners: listeners, backend: .tcp(host: "127.0.0.1", port: 0))
      embedsEcho = true
    }
    if case .value(let path) = try given.value(of: Settings.config) { file = path }
    if case .value(let path) = try given.value(of: Settings.identity) { identity = path }
    logLevel = try given.value(of: Settings.logLevel)
    relay.eventLevel = Event.Level(logLevel)
    relay.congestionControl = try Self.congestionControl(given, on: machine)
    relay.shutdownTimeout = try given.value(of: Settings.shutdownTimeout)

    try setThreads(given, on: machine)
    try setLimits(given, on: machine)
    try setSessions(given, on: machine)
    try setConnections(given)
    try setBackendLoss(given)
    try setProtection(given, on: machine, files)
  }

  private mutating func setThreads(_ given: GivenSettings, on machine: Machine) throws(SettingError) {
    relay.cpus = try Self.cpus(given, on: machine)
    let cpuCount = relay.cpus.isEmpty ? machine.cpuCount : relay.cpus.count
    relay.firehoseCore = try value(of: Settings.firehoseCore, given, orDecide: cpuCount < 3 ? .shared : .own)
    let shards = relay.firehoseCore == .own ? cpuCount - 1 : cpuCount
    relay.shards = try value(
      of: Settings.shards, given, orDecide: Self.clamp(shards, to: RelayConfiguration.shardRange))
    relay.handshakeWorkers = try value(
      of: Settings.handshakeWorkers, given,
      orDecide: Self.clamp((cpuCount + 3) / 4, to: RelayConfiguration.handshakeWorkerRange))
  }

  private mutating func setLimits(_ given: GivenSettings, on machine: Machine) throws(SettingError) {
    relay.maxPacketSize = try given.value(of: Settings.maxPacketSize).bytes
    relay.clientSendBuffer = try given.value(of: Settings.clientSendBuffer).bytes
    relay.clientReceiveBuffer = try given.value(of: Settings.clientReceiveBuffer).bytes
    relay.packetTimeout = try given.value(of: Settings.packetTimeout)
    relay.assemblyBudget = try value(
      of: Settings.assemblyBudget, given, orDecide: Self.anEighth(of: machine, butAtLeast: relay.maxPacketSize)
    ).bytes
    guard relay.assemblyBudget >= relay.maxPacketSize else {
      let largest = ByteSize(bytes: relay.maxPacketSize)
      throw Settings.assemblyBudget.error(
        given[Settings.assemblyBudget][0], .because("it is less than --max-packet-size, which is \(largest)"))
    }
  }

  private mutating func setSessions(_ given: GivenSettings, on machine: Machine) throws(SettingError) {
    relay.staleTimeout = try given.value(of: Settings.staleTimeout)
    relay.maxStaleClients = try given.value(of: Settings.maxStaleClients)
    relay.missedPacketsBuffer = try given.value(of: Settings.missedPacketsBuffer).bytes
    let onePacket = Wire.sizePrefix + relay.maxPacketSize
    relay.missedPacketsTotal = try value(
      of: Settings.missedPacketsTotal, given, orDecide: Self.anEighth(of: machine, butAtLeast: onePacket)
    ).bytes
    guard relay.missedPacketsTotal >= onePacket else {
      throw Settings.missedPacketsTotal.error(
        given[Settings.missedPacketsTotal][0],
        .because("the largest packet needs \(onePacket): --max-packet-size and \(Wire.sizePrefix)"))
    }
  }

  private mutating func setConnections(_ given: GivenSettings) throws(SettingError) {
    relay.halfCloseTimeout = try given.value(of: Settings.halfCloseTimeout)
    relay.coalesceTime = try given.value(of: Settings.coalesceTime)
    relay.keepalive = try given.value(of: Settings.keepalive)
    relay.tcpUserTimeout = try given.value(of: Settings.tcpUserTimeout)
    relay.backendTimeout = try given.value(of: Settings.backendTimeout)
    relay.unixSocketMode = try given.value(of: Settings.unixSocketMode).given
    relay.unixSocketGroup = try given.value(of: Settings.unixSocketGroup).given
  }

  private mutating func setBackendLoss(_ given: GivenSettings) throws(SettingError) {
    relay.announce = try given.value(of: Settings.announce)
    relay.backendLoss = try given.value(of: Settings.backendLoss)
    guard case .value(let timeout) = try given.value(of: Settings.backendLossTimeout) else { return }
    guard relay.backendLoss == .hold else {
      throw Settings.backendLossTimeout.error(
        given[Settings.backendLossTimeout][0],
        .because("--backend-loss \(relay.backendLoss.rawValue) holds no clients"))
    }
    relay.backendLossTimeout = timeout
  }

  /// The value given, or where it is left to the program `standard`, of which note is taken.
  mutating func value<Value>(
    of setting: Setting<Automatic<Value>>, _ given: GivenSettings, orDecide standard: Value
  ) throws(SettingError) -> Value {
    let value = try given.value(of: setting)
    if value == .auto { decisions.append((setting.name, "\(standard)")) }
    return value.or(standard)
  }

  /// Two equal listeners would both succeed (SO_REUSEPORT), which nobody means.
  private static func listeners(_ given: GivenSettings) throws(SettingError) -> [Endpoint] {
    let listeners = try given.values(of: Settings.listen)
    for (index, listener) in listeners.enumerated() where listeners[..<index].contains(listener) {
      if case .tcp(_, port: 0) = listener { continue }
      throw Settings.listen.error(given[Settings.listen][index], .because("it was given before"))
    }
    return listeners
  }

  /// A relay that is its own backend would be its own client too, and speak the one protocol to the other.
  private static func check(
    _ given: GivenSettings, _ listeners: [Endpoint], leadNotTo backend: Endpoint
  ) throws(SettingError) {
    for (index, listener) in listeners.enumerated() where listener.isReached(at: backend) {
      if let wrong = given[Settings.backend].first {
        throw Settings.backend.error(wrong, .because("it is the relay's own address: --listen \(listener)"))
      }
      // Where the backend is the default, it is the listener that was given.
      throw Settings.listen.error(
        given[Settings.listen][index], .because("it is where the backend is, --backend \(backend) by default"))
    }
  }

  private static func cpus(_ given: GivenSettings, on machine: Machine) throws(SettingError) -> [Int] {
    guard case .value(let list) = try given.value(of: Settings.cpus) else { return [] }
    for cpu in list.cpus where !machine.allowedCPUs.contains(cpu) {
      let allowed = CPUList(cpus: machine.allowedCPUs)
      throw Settings.cpus.error(
        given[Settings.cpus][0], .because("this process is not allowed to run on CPU \(cpu), only on \(allowed)"))
    }
    return list.cpus
  }

  /// A small machine gets by with less for everybody, but one packet of legal size must fit.
  private static func anEighth(of machine: Machine, butAtLeast least: Int) -> ByteSize {
    ByteSize(bytes: clamp(max(wholeMebibytes(machine.memory / 8), least), to: RelayConfiguration.budgetRange))
  }

  /// A share of memory, rounded down where that leaves something: nobody reads 2012345KiB.
  static func wholeMebibytes(_ bytes: Int) -> Int { bytes < 1 << 20 ? bytes : (bytes >> 20) << 20 }

  private static func congestionControl(_ given: GivenSettings, on machine: Machine) throws(SettingError) -> String? {
    guard case .value(let name) = try given.value(of: Settings.congestionControl) else { return nil }
    // Where the kernel does not say what it has, it will say so when a socket is made.
    if let available = machine.congestionControls, !available.contains(name) {
      let names = available.joined(separator: ", ")
      throw Settings.congestionControl.error(
        given[Settings.congestionControl][0], .because("this kernel has \(names)"))
    }
    return name
  }

  private static func clamp(_ number: Int, to range: ClosedRange<Int>) -> Int {
    min(max(number, range.lowerBound), range.upperBound)
  }
}
