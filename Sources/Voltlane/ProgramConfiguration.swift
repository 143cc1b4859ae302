import Logging
import Relay
import VoltlaneSettings
import VoltlaneText
import VoltlaneWire

/// What the program does: its settings, with a decision for everything that was left to it.
struct ProgramConfiguration: Sendable {
  /// How the relay runs. If the backend is embedded, its address is not known yet.
  var relay = RelayConfiguration(listeners: [], backend: .tcp(host: "127.0.0.1", port: 0))
  /// Where it listens, as it was given: the relay's own listeners are those of them that it opens itself.
  var listeners: [ListenChoice] = []
  /// Whether the relay gets a backend in this process.
  var embedsEcho = false
  /// The file from which settings were read.
  var file: String?
  /// Files with lists of networks.
  var listFiles: [String] = []
  /// The file with the relay's key; nil: a fresh key.
  var identity: String?
  /// The admin endpoint.
  var admin = AdminConfiguration()
  /// The path of the socket for commands; nil: there is none.
  var control: String?
  var logLevel = Logger.Level.info
  /// Over what time a gradual drain lets clients go.
  var drainTime = Duration.seconds(30)
  var logFormat = LogFormat.text
  /// What was decided for each setting that was left to the program.
  var decisions: [(setting: String, value: String)] = []
  /// Settings that were left to the program and are not decided yet; empty once this is complete.
  var undecided: Set<String> = []

  /// Puts what was given in its place, and decides what that leaves open, for `machine`. Each setting's declaration
  /// says where its value goes.
  init(
    _ given: GivenSettings, on machine: Machine, files: SettingsFiles = SettingsFiles()
  ) throws(SettingError) {
    for setting in Settings.all { try setting.place(given, in: &self, files) }
    try checkAddresses(given)
    try checkAdmin(given)
    try checkMachine(given, machine)
    relay.otherDescriptors =
      (admin.endpoint == nil ? 0 : AdminLimits.descriptors) + (control == nil ? 0 : ControlLimits.descriptors)
    for setting in Settings.all { setting.decide(in: &self, on: machine) }
    relay.cpuTime = machine.cpuTime
    try checkSizes(given)
    try checkBackendLoss(given)
  }

  // MARK: Values that do not go together

  private func checkAddresses(_ given: GivenSettings) throws(SettingError) {
    let settings = Settings.addresses
    // Two equal listeners would both succeed (SO_REUSEPORT), which nobody wants.
    for (index, listener) in listeners.enumerated() where listeners[..<index].contains(listener) {
      if case .address(.tcp(_, port: 0)) = listener { continue }
      throw settings.listen.error(given, at: index, "it was given before")
    }
    guard !embedsEcho else { return }
    // A relay that is its own backend would also be its own client, and speak one protocol where the other is expected.
    for case (let index, .address(let listener)) in listeners.enumerated() where listener.isReached(at: relay.backend) {
      guard given[settings.backend].isEmpty else {
        throw settings.backend.error(given, "it is the relay's own address: --listen \(listener)")
      }
      // If the backend is the default, the listener is the one that was given.
      throw settings.listen.error(
        given, at: index, "it is where the backend is, --backend \(relay.backend) by default")
    }
  }

  private func checkAdmin(_ given: GivenSettings) throws(SettingError) {
    let settings = Settings.operation
    guard let endpoint = admin.endpoint else { return }
    guard AdminConfiguration.isLocal(endpoint) || !admin.allowed.isEmpty else {
      throw settings.admin.error(
        given, "it is not an address of the loopback, so --admin-allow has to say who may connect")
    }
    if case .tcp(_, port: 0) = endpoint { return }
    if relay.listeners.contains(where: { $0.isReached(at: endpoint) || endpoint.isReached(at: $0) }) {
      throw settings.admin.error(given, "clients connect there: it is an address of --listen")
    }
  }

  private func checkMachine(_ given: GivenSettings, _ machine: Machine) throws(SettingError) {
    for cpu in relay.cpus where !machine.allowedCPUs.contains(cpu) {
      let allowed = CPUList(cpus: machine.allowedCPUs)
      throw Settings.threads.cpus.error(given, "this process is not allowed to run on CPU \(cpu), only on \(allowed)")
    }
    // If the kernel does not say what it has, it will when a socket is made.
    if let name = relay.congestionControl, let available = machine.congestionControls, !available.contains(name) {
      let names = available.joined(separator: ", ")
      throw Settings.operation.congestionControl.error(given, "this kernel has \(names)")
    }
  }

  private func checkSizes(_ given: GivenSettings) throws(SettingError) {
    guard relay.assemblyBudget >= relay.maxPacketSize else {
      let largest = ByteSize(bytes: relay.maxPacketSize)
      throw Settings.limits.assemblyBudget.error(given, "it is less than --max-packet-size, which is \(largest)")
    }
    guard relay.missedPacketsTotal >= largestKeptPacket else {
      throw Settings.sessions.missedPacketsTotal.error(
        given, "the largest packet needs \(largestKeptPacket): --max-packet-size and \(Wire.sizePrefix)")
    }
  }

  private func checkBackendLoss(_ given: GivenSettings) throws(SettingError) {
    guard relay.backendLossTimeout == nil || relay.backendLoss == .hold else {
      throw Settings.backendLoss.backendLossTimeout.error(
        given, "--backend-loss \(relay.backendLoss.rawValue) holds no clients")
    }
  }

  /// What a packet of the largest size counts while it is kept.
  var largestKeptPacket: Int { Wire.sizePrefix + relay.maxPacketSize }
}
