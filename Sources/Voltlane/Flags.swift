import ArgumentParser
import VoltlaneSettings

/// The settings as flags, topic by topic. Everything about a setting is in its declaration.
struct Flags: ParsableArguments {
  @OptionGroup(title: AddressSettings.title) var addresses: TopicFlags<AddressSettings>
  @OptionGroup(title: ThreadSettings.title) var threads: TopicFlags<ThreadSettings>
  @OptionGroup(title: LimitSettings.title) var limits: TopicFlags<LimitSettings>
  @OptionGroup(title: ProtectionSettings.title) var protection: TopicFlags<ProtectionSettings>
  @OptionGroup(title: SessionSettings.title) var sessions: TopicFlags<SessionSettings>
  @OptionGroup(title: ConnectionSettings.title) var connections: TopicFlags<ConnectionSettings>
  @OptionGroup(title: BackendLossSettings.title) var backendLoss: TopicFlags<BackendLossSettings>
  @OptionGroup(title: OperationSettings.title) var operation: TopicFlags<OperationSettings>

  /// Everything that was given.
  var given: [Given] {
    addresses.given + threads.given + limits.given + protection.given + sessions.given + connections.given
      + backendLoss.given + operation.given
  }
}

/// The flags of one topic. ArgumentParser finds the properties of such a type in its mirror, and their values by
/// decoding. Both are made from the topic's settings here, so that no flag has to be written down a second time.
struct TopicFlags<Topic: SettingsTopic>: ParsableArguments, CustomReflectable {
  private(set) var given: [Given] = []

  init() {}

  init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    given = try Settings.settings(of: Topic.self).flatMap { setting in
      try values.decode(Option<[Given]>.self, forKey: Key(setting.entry.name)).wrappedValue
    }
  }

  var customMirror: Mirror {
    Mirror(self, children: Settings.settings(of: Topic.self).map { (label: $0.entry.name, value: $0.option as Any) })
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}
