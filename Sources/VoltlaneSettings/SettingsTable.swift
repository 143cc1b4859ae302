/// Every setting of a program, as static members, with the kinds of values that several of them have.
package protocol SettingDefinitions: SendableMetatype {
  /// All of them, in the order of the documentation.
  static var entries: [SettingEntry] { get }
}

extension SettingDefinitions {
  /// The settings as a table of the documentation. Markdown: a head and a row for each.
  package static var table: String {
    let rows = entries.map { entry in
      let names = ([entry.name] + [entry.alias].compactMap { $0 }).map { "`--\($0)`" }.joined(separator: ", ")
      return row([
        names, "`\(entry.standard)`", entry.allowed, entry.isReloadable ? "yes" : "no", entry.summary,
      ])
    }
    return ([row(["Flag", "Default", "Allowed", "Reload", "Meaning"]), row(Array(repeating: "---", count: 5))] + rows)
      .joined(separator: "\n")
  }

  private static func row(_ cells: [String]) -> String {
    "| " + cells.map { $0.split(separator: "|").joined(separator: "\\|") }.joined(separator: " | ") + " |"
  }
}
