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

  /// The pages, the README, and what a forge shows of the project.
  static func pages() throws -> [URL] {
    let catalogues = ["Voltlane", "VoltlaneClient", "VoltlaneBackend"].map { "Sources/\($0)/\($0).docc" }
    let found = try (catalogues + [".github"]).flatMap { folder in
      try FileManager.default.contentsOfDirectory(
        at: root.appendingPathComponent(folder), includingPropertiesForKeys: nil)
    }
    return found.filter { $0.pathExtension == "md" }
      + ["README.md", "Benchmarks/README.md"].map { root.appendingPathComponent($0) }
  }

  /// The README is read to its end. What is longer is a page of its own.
  @Test func theReadmeIsShort() throws {
    let readme = try Self.text(Self.root.appendingPathComponent("README.md"))
    #expect(readme.split(separator: "\n", omittingEmptySubsequences: false).count <= 251)
    #expect(readme.split { $0.isWhitespace }.count <= 3000)
  }

  /// The instructions that the README promises are those that `tools/check-instructions` holds the relay to.
  @Test(arguments: ["up 100 64 64", "down 100 64 3400"]) func figuresAreTheBudgets(run: String) throws {
    let readme = try Self.text(Self.root.appendingPathComponent("README.md"))
    let budgets = try Self.text(Self.root.appendingPathComponent("tools/instruction-budgets")).split(separator: "\n")
      .map { $0.split(separator: " ").joined(separator: " ") }
    let budget = try #require(budgets.first { $0.hasPrefix("\(run) ") }).dropFirst(run.count + 1)
    #expect(readme.contains("| \(budget) | `tools/check-instructions` |"))
  }

  /// To mend it, put in what `voltlane --settings-table` prints.
  @Test func tableIsTheSettings() throws {
    let table = try Self.text(Self.documentation.appendingPathComponent("Flags.md")).split(separator: "\n")
      .drop { !$0.hasPrefix("| Flag |") }.prefix { $0.hasPrefix("|") }.joined(separator: "\n")
    #expect(table == Settings.table)
  }

  /// To mend it, put in what `voltlane --metrics-table` prints.
  @Test func tableIsTheMetrics() throws {
    let table = try Self.text(Self.documentation.appendingPathComponent("Metrics.md")).split(separator: "\n")
      .drop { !$0.hasPrefix("| Metric |") }.prefix { $0.hasPrefix("|") }.joined(separator: "\n")
    #expect(table == MetricsTable.text)
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

  /// What GitHub makes of a heading for links to it.
  static func anchor(_ heading: some StringProtocol) -> String {
    String(heading.lowercased().compactMap { $0 == " " ? "-" : $0.isLetter || $0.isNumber || $0 == "-" ? $0 : nil })
  }

  /// Files that links name exist, and so do the headings within them.
  @Test func linksLeadSomewhere() throws {
    var checked = 0
    for page in try Self.pages() {
      for link in try Self.text(page).matches(of: /\]\(([^)#:]*)(?:#([^)]+))?\)/) {
        let target = link.1.isEmpty ? page : page.deletingLastPathComponent().appendingPathComponent(String(link.1))
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page.lastPathComponent): \(link.1)")
        checked += 1
        guard let heading = link.2 else { continue }
        let headings = try Self.text(target).split(separator: "\n").filter { $0.hasPrefix("#") }
          .map { Self.anchor($0.drop { $0 == "#" }.dropFirst()) }
        #expect(headings.contains(String(heading)), "\(page.lastPathComponent): \(link.1)#\(heading)")
      }
    }
    #expect(checked > 20)
  }

  /// References between pages, such as `<doc:Protocol>`, name pages.
  @Test func pagesReferToPages() throws {
    for page in try Self.pages() where page.deletingLastPathComponent().pathExtension == "docc" {
      let folder = page.deletingLastPathComponent()
      for reference in try Self.text(page).matches(of: /<doc:([^>#]+)(?:#[^>]+)?>/) {
        let target = folder.appendingPathComponent("\(reference.1).md")
        #expect(FileManager.default.fileExists(atPath: target.path), "\(page.lastPathComponent): \(reference.1)")
      }
    }
  }

  /// Every page can be found from the front one.
  @Test func theFrontPageListsAllOthers() throws {
    let front = try Self.text(Self.documentation.appendingPathComponent("Voltlane.md"))
    for page in try Self.pages() where page.deletingLastPathComponent().path == Self.documentation.path {
      let name = page.deletingPathExtension().lastPathComponent
      #expect(name == "Voltlane" || front.contains("<doc:\(name)>"), "\(name)")
    }
  }

  /// The step of the packet's path that a reader jumps to is where the README says.
  @Test func pathsNameFilesAndFunctions() throws {
    let readme = try Self.text(Self.root.appendingPathComponent("README.md"))
    let steps = readme.matches(of: #/\n    (\w+)\.?(\w*) +([A-Z]\w+(?:/[\w+]+)+\.swift) /#)
    #expect(steps.count == 11)
    for step in steps {
      let source = try Self.text(Self.root.appendingPathComponent("Sources/Relay/\(step.3)"))
      let declaration = step.2.isEmpty ? "struct \(step.1)" : "func \(step.2)"
      #expect(source.contains(declaration), "\(step.3): \(declaration)")
    }
  }

  /// So is each step of a reconnection, in the file that its lines name or in `Shard+Reconnection.swift`, and they
  /// stand in the design page in the order in which that file has them.
  @Test func stepsOfAReconnectionAreWhereTheDesignSays() throws {
    let page = try Self.text(Self.documentation.appendingPathComponent("Design.md"))
    let section = page.components(separatedBy: "\n## A reconnection, step by step\n").last?
      .components(separatedBy: "\n## ").first
    let steps = try #require(section).components(separatedBy: "\n    Shard.").dropFirst()
    #expect(steps.count == 15)
    var place: String.Index?
    for step in steps {
      let name = step.prefix { $0.isLetter }
      let named = step.firstMatch(of: #/ in (\w+/[\w+]+\.swift)/#).map { String($0.1) }
      let source = try Self.text(
        Self.root.appendingPathComponent("Sources/Relay/Shard/\(named ?? "Reconnecting/Shard+Reconnection.swift")"))
      let declaration = try #require(source.range(of: "func \(name)("), "\(name) in \(named ?? "the file of them all")")
      guard named == nil else { continue }
      #expect(place.map { $0 < declaration.lowerBound } ?? true, "\(name) stands before the step before it")
      place = declaration.lowerBound
    }
  }

  @Test func lastSectionSaysWhereToTouch() throws {
    let sections = try Self.text(Self.root.appendingPathComponent("README.md")).split(separator: "\n")
      .filter { $0.hasPrefix("## ") }
    #expect(sections.last == "## Where to touch")
  }
}
