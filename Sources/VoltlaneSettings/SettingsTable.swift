/// Every setting of a program, as static members, with the kinds of values that several of them share.
package protocol SettingDefinitions: SendableMetatype {
  /// All of them, in the order of the documentation.
  static var entries: [SettingEntry] { get }
}

extension SettingDefinitions {
  /// The settings as a table for the documentation, in Markdown. The column for reloading is left out if nothing can be
  /// reloaded.
  package static var table: String {
    let reloads = entries.contains(where: \.isReloadable)
    let rows = entries.map { entry in
      let names = ([entry.name] + [entry.alias].compactMap { $0 }).map { "`--\($0)`" }.joined(separator: ", ")
      let reload = reloads ? [entry.isReloadable ? "yes" : "no"] : []
      return row([names, "`\(entry.standard)`", entry.allowed] + reload + [entry.summary])
    }
    let head = ["Flag", "Default", "Allowed"] + (reloads ? ["Reload"] : []) + ["Meaning"]
    return ([row(head), row(head.map { _ in "---" })] + rows).joined(separator: "\n")
  }

  private static func row(_ cells: [String]) -> String {
    "| " + cells.map { $0.split(separator: "|").joined(separator: "\\|") }.joined(separator: " | ") + " |"
  }
}
