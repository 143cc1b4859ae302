import VoltlaneSettings

/// Every setting of the program, by topic. To add one, declare it in its topic's file: everything else follows, and
/// tests ask for what cannot (a field that the data plane reads, values for the tests, the table in the documentation).
enum Settings: SettingDefinitions {
  static let addresses = AddressSettings()
  static let threads = ThreadSettings()
  static let limits = LimitSettings()
  static let protection = ProtectionSettings()
  static let sessions = SessionSettings()
  static let connections = ConnectionSettings()
  static let backendLoss = BackendLossSettings()
  static let operation = OperationSettings()

  /// In the order of the help and the documentation, which is also the order in which the program decides what is left
  /// to it.
  static let all: [any DeclaredSetting] = topics.flatMap(\.settings)

  /// The settings of a topic.
  static func settings<Topic: SettingsTopic>(of topic: Topic.Type) -> [any DeclaredSetting] {
    topics.first { $0.type == ObjectIdentifier(topic) }?.settings ?? []
  }

  private static let topics: [(type: ObjectIdentifier, settings: [any DeclaredSetting])] = [
    addresses.listed, threads.listed, limits.listed, protection.listed, sessions.listed, connections.listed,
    backendLoss.listed, operation.listed,
  ]

  static let entries: [SettingEntry] = all.map(\.entry)
}

/// Settings that belong together in the help: each is a property.
protocol SettingsTopic: Sendable {
  /// The title in the help.
  static var title: String { get }
}

extension SettingsTopic {
  /// Its properties, in the order in which they are declared. They are found by reflection, because in a second list
  /// one could be forgotten.
  fileprivate var listed: (type: ObjectIdentifier, settings: [any DeclaredSetting]) {
    (ObjectIdentifier(Self.self), Mirror(reflecting: self).children.compactMap { $0.value as? any DeclaredSetting })
  }
}
