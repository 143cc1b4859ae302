/// The settings as a table of the documentation.
enum SettingsTable {
  /// Markdown: a head and a row for each setting.
  static var markdown: String {
    let rows = Settings.entries.map { entry in
      let names = ([entry.name] + [entry.alias].compactMap { $0 }).map { "`--\($0)`" }.joined(separator: ", ")
      return row([names, "`\(entry.standard)`", entry.allowed, entry.summary])
    }
    return ([row(["Flag", "Default", "Allowed", "Meaning"]), row(["---", "---", "---", "---"])] + rows)
      .joined(separator: "\n")
  }

  private static func row(_ cells: [String]) -> String {
    "| " + cells.map { $0.split(separator: "|").joined(separator: "\\|") }.joined(separator: " | ") + " |"
  }
}
