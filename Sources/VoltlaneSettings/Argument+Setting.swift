import ArgumentParser

extension Argument where Value == Given {
  /// An argument without a flag for `setting`.
  package init<SettingValue>(_ setting: Setting<SettingValue>) {
    let name = setting.name
    self.init(
      help: ArgumentHelp("\(setting.summary) \(setting.allowed).", valueName: setting.placeholder),
      transform: { Given(setting: name, text: $0, origin: .argument) })
  }
}
