import ArgumentParser

/// The settings as flags. ArgumentParser wants a property for each; all that is to be known of one is in
/// Settings.swift.
struct Flags: ParsableArguments {
  @OptionGroup(title: "Addresses") var addresses: Addresses
  @OptionGroup(title: "Threads") var threads: Threads
  @OptionGroup(title: "Limits") var limits: Limits
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

  struct Operation: ParsableArguments {
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
