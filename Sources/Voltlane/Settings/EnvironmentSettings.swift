import VoltlaneSettings

/// The values in the environment. A variable's name is `VOLTLANE_` and the flag's name in capitals, with underscores.
struct EnvironmentSettings {
  private(set) var given: [Given] = []
  /// Values by connserver's names.
  private(set) var earlier: [EarlierGiven] = []
  private(set) var problems: [String] = []

  static let prefix = "VOLTLANE_"

  /// The variable of the setting `name`.
  static func variable(_ name: String) -> String {
    prefix + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
  }

  init(_ environment: [String: String]) {
    for (name, text) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix(Self.prefix) {
      take(name, text)
    }
  }

  private mutating func take(_ name: String, _ text: String) {
    let entry = Settings.entries.first { Self.variable($0.name) == name }
    let setting = EarlierSetting.all.first { $0.variable == name }
    // `${X:-}` results in an empty value, which counts as not given.
    if text.isEmpty, entry != nil || setting != nil { return }
    if let entry, setting == nil || entry.accepts(text) {
      // A value of a setting that takes several never contains a comma.
      let texts = entry.isRepeatable ? text.split(separator: ",", omittingEmptySubsequences: false) : [text[...]]
      given += texts.map { Given(setting: entry.name, text: String($0), origin: .variable(name)) }
    } else if let setting {
      do {
        earlier.append(try EarlierGiven(setting, text, .variable(name)))
      } catch {
        problems.append("\(name): '\(text)' is not allowed: \(error.reason ?? "it has no meaning")")
      }
    } else if !Self.isOfKubernetes(name) {
      problems.append("\(name): there is no such setting\(Self.suggestion(name))")
    }
  }

  private static func suggestion(_ name: String) -> String {
    // A name near a flag's alias suggests the flag's own name.
    let names = Settings.entries.flatMap { entry in
      ([entry.name] + [entry.alias].compactMap { $0 }).map { (spelt: $0, entry: entry) }
    }
    let spelt = String(name.dropFirst(prefix.count)).lowercased().map { $0 == "_" ? "-" : String($0) }.joined()
    guard let nearest = NearestName.of(spelt, in: names.map(\.spelt)),
      let entry = names.first(where: { $0.spelt == nearest })?.entry
    else { return "" }
    return "; did you mean \(variable(entry.name))?"
  }

  /// Kubernetes gives every container variables about the services in its namespace: a service called voltlane results
  /// in VOLTLANE_PORT, VOLTLANE_SERVICE_HOST and others, which nobody asked for.
  private static func isOfKubernetes(_ name: String) -> Bool {
    let pattern =
      #/VOLTLANE(_.*)?_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)/#
    return name.wholeMatch(of: pattern) != nil
  }
}
