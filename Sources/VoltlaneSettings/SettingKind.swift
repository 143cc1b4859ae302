/// What the values of a setting look like: their placeholder in the help, which ones are allowed, and how they are
/// read.
package struct SettingKind<Value: Sendable>: Sendable {
  package let placeholder: String
  /// The end of "Allowed: ".
  package let allowed: String
  package let read: Setting<Value>.Reader

  package init(_ placeholder: String, allowed: String, read: @escaping Setting<Value>.Reader) {
    self.placeholder = placeholder
    self.allowed = allowed
    self.read = read
  }

  /// The same kind, with an addition to what it says is allowed.
  package func allowing(_ more: String) -> SettingKind {
    SettingKind(placeholder, allowed: "\(allowed), \(more)", read: read)
  }

  /// A value of `kind`, or the word that lets the program decide.
  package static func automatic<Kind>(
    _ kind: SettingKind<Kind>, word: String = "auto"
  ) -> SettingKind where Value == Automatic<Kind> {
    let read = Kinds.automatic(kind.read, word: word)
    return SettingKind("\(kind.placeholder)|\(word)", allowed: "\(word), or \(kind.allowed)", read: read)
  }

  /// A value of `kind`, or 0 for no limit.
  package static func orNone<Kind>(_ kind: SettingKind<Kind>) -> SettingKind where Value == Kind? {
    SettingKind(kind.placeholder, allowed: "0 or \(kind.allowed)") { text throws(Refusal) in
      text == "0" ? nil : try kind.read(text)
    }
  }

  /// One of these words.
  package static func oneOf(_ words: [(word: String, value: Value)]) -> SettingKind {
    let names = words.map(\.word)
    let allowed = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
    return SettingKind(
      names.joined(separator: "|"), allowed: allowed,
      read: Kinds.oneOf { text in words.first { $0.word == text }?.value })
  }
}

extension SettingKind where Value: RawRepresentable<String> & CaseIterable {
  /// One of the enumeration's words.
  package static var word: SettingKind { oneOf(Value.allCases.map { (word: $0.rawValue, value: $0) }) }
}

extension SettingKind where Value == Bool {
  package static var onOff: SettingKind { oneOf([(word: "on", value: true), (word: "off", value: false)]) }
}

extension SettingKind where Value == Int {
  package static func number(in range: ClosedRange<Int>) -> SettingKind {
    SettingKind("N", allowed: Kinds.numbers(range), read: Kinds.number(in: range))
  }
}

extension SettingKind where Value == ByteSize {
  package static func size(in range: ClosedRange<Int>) -> SettingKind {
    SettingKind("SIZE", allowed: Kinds.sizes(range), read: Kinds.size(in: range))
  }
}

extension SettingKind where Value == Duration {
  package static func duration(in range: ClosedRange<Duration>) -> SettingKind {
    SettingKind("TIME", allowed: Kinds.durations(range), read: Kinds.duration(in: range))
  }

  /// To the microsecond.
  package static func fineDuration(in range: ClosedRange<Duration>) -> SettingKind {
    SettingKind("TIME", allowed: Kinds.fineDurations(range), read: Kinds.fineDuration(in: range))
  }

  /// For what the kernel counts in seconds.
  package static func wholeSeconds(in range: ClosedRange<Duration>) -> SettingKind {
    SettingKind(
      "TIME", allowed: "\(Kinds.durations(range)), in whole seconds",
      read: Kinds.wholeSeconds(Kinds.duration(in: range)))
  }
}

extension SettingKind where Value == Duration? {
  /// A value of `kind`, or 0 with or without a unit for no limit.
  package static func orNone(_ kind: SettingKind<Duration>) -> SettingKind {
    SettingKind(kind.placeholder, allowed: "0 or \(kind.allowed)") { text throws(Refusal) in
      let isZero = (try? Duration(setting: text, in: .zero ... .zero)) == .zero
      return isZero ? nil : try kind.read(text)
    }
  }
}

/// The readers, as static members for the definitions of settings.
private enum Kinds: SettingDefinitions {
  static let entries: [SettingEntry] = []
}

extension Setting {
  package init(
    name: String, alias: String? = nil, kind: SettingKind<Value>, standard: String, summary: String,
    isRepeatable: Bool = false, isReloadable: Bool = false
  ) {
    self.init(
      name: name, alias: alias, placeholder: kind.placeholder, standard: standard, allowed: kind.allowed,
      summary: summary, isRepeatable: isRepeatable, isReloadable: isReloadable, read: kind.read)
  }
}
