import ArgumentParser

/// The settings as flags. ArgumentParser wants a property for each; all that is to be known of one is in
/// Settings.swift.
struct Flags: ParsableArguments {
  @OptionGroup(title: "Addresses") var addresses: Addresses
  @OptionGroup(title: "Threads") var threads: Threads
  @OptionGroup(title: "Limits") var limits: Limits
  @OptionGroup(title: "Sessions without a socket") var sessions: Sessions
  @OptionGroup(title: "Lost connections") var connections: Connections
  @OptionGroup(title: "Loss of the backend") var backendLoss: BackendLosses
  @OptionGroup(title: "Operation") var operation: Operation

  struct Addresses: ParsableArguments {
    @Option(Settings.listen) var listen: [Given] = []
    @Option(Settings.backend) var backend: [Given] = []
  }

  struct Threads: ParsableArguments {
    @Option(Settings.shards) var shards: [Given] = []
    @Option(Settings.firehoseCore) var firehoseCore: [Given] = []
    @Option(Settings.cpus) var cpus: [Given] = []
    @Option(Settings.handshakeWorkers) var handshakeWorkers: [Given] = []
  }

  struct Limits: ParsableArguments {
    @Option(Settings.maxPacketSize) var maxPacketSize: [Given] = []
    @Option(Settings.clientSendBuffer) var clientSendBuffer: [Given] = []
    @Option(Settings.packetTimeout) var packetTimeout: [Given] = []
    @Option(Settings.assemblyBudget) var assemblyBudget: [Given] = []
  }

  struct Sessions: ParsableArguments {
    @Option(Settings.staleTimeout) var staleTimeout: [Given] = []
    @Option(Settings.maxStaleClients) var maxStaleClients: [Given] = []
    @Option(Settings.missedPacketsBuffer) var missedPacketsBuffer: [Given] = []
    @Option(Settings.missedPacketsTotal) var missedPacketsTotal: [Given] = []
  }

  struct Connections: ParsableArguments {
    @Option(Settings.halfCloseTimeout) var halfCloseTimeout: [Given] = []
    @Option(Settings.keepalive) var keepalive: [Given] = []
    @Option(Settings.tcpUserTimeout) var tcpUserTimeout: [Given] = []
    @Option(Settings.backendTimeout) var backendTimeout: [Given] = []
  }

  struct BackendLosses: ParsableArguments {
    @Option(Settings.announce) var announce: [Given] = []
    @Option(Settings.backendLoss) var backendLoss: [Given] = []
    @Option(Settings.backendLossTimeout) var backendLossTimeout: [Given] = []
  }

  struct Operation: ParsableArguments {
    @Option(Settings.identity) var identity: [Given] = []
    @Option(Settings.congestionControl) var congestionControl: [Given] = []
    @Option(Settings.shutdownTimeout) var shutdownTimeout: [Given] = []
    @Option(Settings.logLevel) var logLevel: [Given] = []
  }
}

extension Option where Value == [Given] {
  /// A flag for `setting`. Its texts are kept as they are: the setting reads them, wherever they come from. Every flag
  /// collects, so that one given twice can be refused where that makes no sense.
  init<SettingValue>(wrappedValue: [Given], _ setting: Setting<SettingValue>) {
    let names = [setting.name] + [setting.alias].compactMap { $0 }
    let origin = setting.flag
    self.init(
      wrappedValue: wrappedValue,
      name: NameSpecification(names.map { .customLong($0) }),
      // A value may begin with a dash: it is wrong then, but the error should be about the value.
      parsing: .unconditionalSingleValue,
      help: ArgumentHelp("\(setting.summary) (default: \(setting.standard))", valueName: setting.placeholder),
      transform: { Given(text: $0, origin: origin) })
  }
}
