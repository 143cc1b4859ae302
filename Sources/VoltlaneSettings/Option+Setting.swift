import ArgumentParser

extension Option where Value == [Given] {
  /// A flag for `setting`. Its texts are kept as given; the setting reads them. Every flag collects its values, so that
  /// one that is given twice can be rejected if that makes no sense.
  package init<SettingValue>(wrappedValue: [Given], _ setting: Setting<SettingValue>) {
    let names = [setting.name] + [setting.alias].compactMap { $0 }
    let name = setting.name
    self.init(
      wrappedValue: wrappedValue,
      name: NameSpecification(names.map { .customLong($0) }),
      // A value may begin with a dash. That is a mistake, but the error should be about the value.
      parsing: .unconditionalSingleValue,
      help: ArgumentHelp("\(setting.summary) (default: \(setting.standard))", valueName: setting.placeholder),
      transform: { Given(setting: name, text: $0, origin: .flag) })
  }
}
