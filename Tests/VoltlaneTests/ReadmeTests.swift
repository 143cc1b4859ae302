import Foundation
import Relay
import Testing
import VoltlaneSettings

@testable import Voltlane

/// What of the documentation can be checked: the table of flags, and that what it points at is there.
@Suite struct ReadmeTests {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static let documentation = root.appendingPathComponent("Sources/Voltlane/Voltlane.docc")

  static func text(_ file: URL) throws -> String {
    try String(contentsOf: file, encoding: .utf8)
  }

  /// To mend it, put in what `voltlane --settings-table` prints.
  @Test func tableIsTheSettings() throws {
    let table = try Self.text(Self.root.appendingPathComponent("README.md")).split(separator: "\n")
      .drop { !$0.hasPrefix("| Flag |") }.prefix { $0.hasPrefix("|") }.joined(separator: "\n")
    #expect(table == Settings.table)
  }

  /// An operator who reads a reason in a log finds it.
  @Test(arguments: CloseReason.allCases) func everyReasonIsExplained(reason: CloseReason) throws {
    let page = try Self.text(Self.documentation.appendingPathComponent("Operation.md"))
    #expect(page.contains("\n| `\(reason.text)` |"))
  }

  @Test(arguments: RefusalReason.allCases) func everyRefusalIsExplained(reason: RefusalReason) throws {
    let page = try Self.text(Self.documentation.appendingPathComponent("Operation.md"))
    #expect(page.contains("\n| `\(reason.text)` | `\(reason.metric)` |"))
  }

  /// What became of each of connserver's settings.
  @Test(arguments: EarlierSetting.all) func everyEarlierSettingIsExplained(setting: EarlierSetting) throws {
    let page = try Self.text(Self.documentation.appendingPathComponent("Configuration.md"))
    let today = setting.today.map { "`\($0)`" } ?? "none: "
    #expect(page.contains("| `[\(setting.table)] \(setting.key)` | `\(setting.variable)` | \(today)"))
  }

  /// Files that links name, from the README and from the longer documentation, exist.
  @Test func linksLeadSomewhere() throws {
    let pages = try FileManager.default.contentsOfDirectory(at: Self.documentation, includingPropertiesForKeys: nil)
    for page in pages.filter({ $0.pathExtension == "md" }) + [Self.root.appendingPathComponent("README.md")] {
      for link in try Self.text(page).matches(of: /\]\(([^)#:]+)\)/) {
        let target = page.deletingLastPathComponent().appendingPathComponent(String(link.1))
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page.lastPathComponent): \(link.1)")
      }
    }
  }

  /// References between pages, such as `<doc:Protocol>`, name pages.
  @Test func pagesReferToPages() throws {
    let pages = try FileManager.default.contentsOfDirectory(at: Self.documentation, includingPropertiesForKeys: nil)
    let names = Set(pages.map { $0.deletingPathExtension().lastPathComponent })
    for page in pages {
      for reference in try Self.text(page).matches(of: /<doc:([^>]+)>/) {
        #expect(names.contains(String(reference.1)), "\(page.lastPathComponent): \(reference.1)")
      }
    }
  }

  /// The step of the packet's path that a reader jumps to is where the README says.
  @Test func pathsNameFilesAndFunctions() throws {
    let readme = try Self.text(Self.root.appendingPathComponent("README.md"))
    let steps = readme.matches(of: #/\n    (\w+)\.?(\w*) +([A-Z]\w+/[\w+]+\.swift) /#)
    #expect(steps.count == 11)
    for step in steps {
      let source = try Self.text(Self.root.appendingPathComponent("Sources/Relay/\(step.3)"))
      let declaration = step.2.isEmpty ? "struct \(step.1)" : "func \(step.2)"
      #expect(source.contains(declaration), "\(step.3): \(declaration)")
    }
  }

  @Test func lastSectionSaysWhereToTouch() throws {
    let sections = try Self.text(Self.root.appendingPathComponent("README.md")).split(separator: "\n")
      .filter { $0.hasPrefix("## ") }
    #expect(sections.last == "## Where to touch")
  }
}
