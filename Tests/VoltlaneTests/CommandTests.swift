import ArgumentParser
import Testing
import VoltlaneSettings

@testable import Voltlane

/// The command as a whole, in this process.
@Suite struct CommandTests {
  /// What the program would print and exit with.
  func outcome(_ arguments: [String]) -> (message: String, code: Int32) {
    do {
      _ = try (VoltlaneCommand.parseAsRoot(arguments) as? VoltlaneCommand)?.loaded()
      return ("", 0)
    } catch {
      return (VoltlaneCommand.fullMessage(for: error), VoltlaneCommand.exitCode(for: error).rawValue)
    }
  }

  /// One of each setting's, because to parse takes long in a debug build.
  static let refused = Settings.entries.compactMap { entry in SettingsTests.refused.first { $0.flag == entry.name } }

  @Test(arguments: refused) func refusedValueExitsWith64(flag: String, value: String, reason: String?) {
    // These are judged on the machine that runs the test.
    if flag == "congestion-control" || value == "0,2" { return }
    let (message, code) = outcome(["--\(flag)", value])
    #expect(code == 64)
    #expect(message.contains("--\(flag): '\(value)' is not allowed"), "\(message)")
  }

  @Test(arguments: [["--shard", "1"], ["--listen"], ["extra"], ["--settings-tables"]])
  func misspeltArgumentsExitWith64(arguments: [String]) {
    let (message, code) = outcome(arguments)
    #expect(code == 64)
    #expect(message.contains(arguments[0]))
  }

  @Test func version() {
    #expect(outcome(["--version"]) == (Version.current, 0))
  }

  @Test func helpTellsEverySetting() {
    #expect(outcome(["--help"]).code == 0)
    let message = VoltlaneCommand.helpMessage(columns: 100)
    let words = message.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    for entry in Settings.entries {
      #expect(words.contains("--\(entry.name)"))
      #expect(words.contains("<\(entry.placeholder)>"))
      #expect(words.contains("\(entry.summary) (default: \(entry.standard))"))
    }
    #expect(words.contains("--master"))
    #expect(message.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  @Test func tableHasARowForEachSetting() {
    let rows = Settings.table.split(separator: "\n")
    #expect(rows.count == Settings.entries.count + 2)
    for (entry, row) in zip(Settings.entries, rows.dropFirst(2)) {
      #expect(row.hasPrefix("| `--\(entry.name)`"))
      #expect(row.contains("`\(entry.standard)`"))
    }
  }
}
