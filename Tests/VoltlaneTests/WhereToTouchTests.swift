import Foundation
import Relay
import Testing
import VoltlaneWire

@testable import Voltlane

/// The README's "Where to touch" and its map of the source name what is there. What the compiler asks for when
/// somebody follows a row is found out by tools/check-guide.
@Suite struct WhereToTouchTests {
  /// A row: what is added, where it is declared, what the compiler asks for, what tests ask for, and the rest.
  struct Row: CustomTestStringConvertible, Sendable {
    let cells: [String]
    var change: String { cells[0] }
    var testDescription: String { change }
  }

  private static let readme = try? ReadmeTests.text(ReadmeTests.root.appendingPathComponent("README.md"))

  static let rows: [Row] = {
    let section = (readme ?? "").components(separatedBy: "\n## Where to touch\n").last ?? ""
    return section.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst().map { line in
      Row(cells: line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) })
    }
  }()

  /// Every file of the repository, by its name.
  private static let files: [String: [URL]] = {
    var files: [String: [URL]] = [:]
    for folder in ["Sources", "Tests"] {
      let found = FileManager.default.enumerator(
        at: ReadmeTests.root.appendingPathComponent(folder), includingPropertiesForKeys: nil)
      for case let url as URL in found ?? .init() { files[url.lastPathComponent, default: []].append(url) }
    }
    return files
  }()

  private static func text(named name: String) throws -> String {
    try (files[name] ?? []).map(ReadmeTests.text).joined()
  }

  private static func allText(under folder: String, _ type: String = ".swift") throws -> String {
    try files.values.joined().filter { $0.path.contains(folder) && $0.path.hasSuffix(type) }.map(ReadmeTests.text)
      .joined(separator: "\n")
  }

  @Test func thereIsARowForWhatPeopleAdd() {
    #expect(Self.rows.allSatisfy { $0.cells.count == 5 }, "\(Self.rows)")
    #expect(
      Self.rows.map(\.change) == [
        "a setting", "a setting that the data plane uses", "a close reason", "a reason to refuse a connection",
        "a metric", "a question to the shards", "an admin page", "a ctl command", "an event", "a firehose flag",
        "a handshake packet", "a field in the uplink lane's record",
      ])
  }

  /// In any column: a file that is named exists.
  @Test(arguments: rows) func filesAreThere(row: Row) {
    for name in row.cells.joined().matches(of: #/`([\w+]+\.(?:swift|md|json))`/#).map({ String($0.1) }) {
      #expect(Self.files[name] != nil, "\(name)")
    }
  }

  /// What stands as "`Name` in [`File.swift`](...)" is declared in that file.
  @Test(arguments: rows) func symbolsAreDeclaredThere(row: Row) throws {
    for place in row.cells.joined().matches(of: #/`(\w+)` in \[`([\w+]+\.swift)`\]/#) {
      let declaration = try Regex("(struct|enum|class|func|case|var|let) \(place.1)\\b")
      #expect(try Self.text(named: String(place.2)).contains(declaration), "\(place.1) in \(place.2)")
    }
  }

  /// What the compiler asks for, behind the name of its file, stands in that file.
  @Test(arguments: rows) func whatTheCompilerAsksForStandsThere(row: Row) throws {
    for part in row.cells[2].split(separator: ";") {
      let files = part.matches(of: #/`([\w+]+\.swift)`/#).map { String($0.1) }
      let names = part.matches(of: #/`(\w+)`/#).map { String($0.1) }
      for name in names {
        #expect(try files.contains { try Self.text(named: $0).contains(name) }, "\(name) in \(files)")
      }
    }
  }

  @Test(arguments: rows) func testsAreThere(row: Row) throws {
    let tests = try Self.allText(under: "/Tests/")
    for name in row.cells[3].matches(of: #/`([a-z]\w+)`/#).map({ String($0.1) }) where name != "reloaded" {
      #expect(tests.contains("func \(name)("), "\(name)")
    }
  }

  /// What is left to write calls what is there.
  @Test(arguments: rows) func callsAreThere(row: Row) throws {
    let relay = try Self.allText(under: "/Sources/Relay/")
    for code in row.cells[4].matches(of: #/`([a-z]\w*\.[a-z]\w*)/#).map({ String($0.1) }) where !code.contains("yours")
    {
      #expect(relay.contains(code), "\(code)")
    }
  }

  // MARK: What rows promise

  /// Every word of the data plane behind a dot, but where metrics are declared.
  private static let members: Set<Substring> = {
    let sources = files.values.joined().filter {
      $0.path.contains("/Sources/Relay/") && !["Counters.swift", "MetricFamily.swift"].contains($0.lastPathComponent)
        && $0.pathExtension == "swift"
    }
    let texts = sources.compactMap { try? ReadmeTests.text($0) }
    return Set(
      texts.flatMap { $0.split { !($0.isLetter || $0.isNumber || $0 == ".") } }.compactMap {
        $0.split(separator: ".").last
      })
  }()

  /// A metric that nobody counts is always 0.
  @Test(arguments: Metric.allCases) func everyMetricIsCounted(metric: Metric) {
    #expect(Self.members.contains("\(metric)"))
  }

  /// Backends compare these words: the page has all of them, and no other.
  @Test func theProtocolListsEveryReason() throws {
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Protocol.md"))
    let list = page.split(separator: "\n").drop { !$0.hasPrefix("- `stale timeout`") }.prefix { $0.hasPrefix("- `") }
    let words = list.joined().matches(of: /`([^`]+)`/).map { String($0.1) }
    #expect(words == CloseReason.allCases.map { "\($0.text)" })
  }

  @Test(arguments: PacketFlag.allCases) func theProtocolListsEveryFlag(flag: PacketFlag) throws {
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Protocol.md"))
    let directions: [FirehoseEnd: String] = [.relay: "relay to backend", .backend: "backend to relay"]
    let senders = [FirehoseEnd.relay, .backend].filter { $0.sends(flag) }
    let direction = senders.count == 2 ? "both" : senders.compactMap { directions[$0] }.joined()
    #expect(page.contains("\n| \(flag.rawValue) | \(flag) | \(direction) | "))
  }

  @Test(arguments: ExtensionFlag.allCases) func theProtocolListsEveryExtension(flag: ExtensionFlag) throws {
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Protocol.md"))
    let direction = flag == .away || flag == .address ? "relay to backend" : "backend to relay"
    #expect(page.contains("\n| \(flag.rawValue) | \(flag) | \(direction) | "))
  }

  /// The two enumerations share their numbers.
  @Test func noTwoFlagsHaveTheSameNumber() {
    let numbers = PacketFlag.allCases.map(\.rawValue) + ExtensionFlag.allCases.map(\.rawValue)
    #expect(Set(numbers).count == numbers.count)
  }

  /// Every path of the admin endpoint has a row, and is among those that an unknown one is answered with.
  @Test func everyPathIsExplained() throws {
    let pages = try Self.text(named: "AdminPages.swift")
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Metrics.md"))
    let paths = pages.matches(of: #/case "(\/[a-z]*)":/#).map { String($0.1) }
    #expect(!paths.isEmpty)
    let known = try #require(pages.split(separator: "\n").first { $0.contains("there is /") })
    for path in paths {
      #expect(page.contains("\n| `\(path)` | "), "\(path)")
      #expect(known.contains(path), "\(path)")
    }
  }

  /// The relay knows every command that voltlane-ctl sends, and each that it knows is explained.
  @Test func everyCommandIsExplained() throws {
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Operation.md"))
    let answers = try Self.text(named: "ControlLoop+Commands.swift")
    let known = answers.matches(of: #/\n      case "([a-z-]+)":/#).map { String($0.1) }
    #expect(!known.isEmpty)
    for command in known { #expect(page.contains(try Regex("`/?\(command)\\b")), "\(command)") }
    let sent = try Self.allText(under: "/Sources/VoltlaneCtl/").matches(of: #/"command"(?:: |, )"([a-z-]+)"/#)
    for command in sent.map({ String($0.1) }) { #expect(known.contains(command), "\(command)") }
  }

  // MARK: The map of the source

  private static let map =
    (readme ?? "").components(separatedBy: "\n## The source\n").last?
    .components(separatedBy: "\n\n").first ?? ""

  /// The folders of a shard are one line of the map, by what they are for.
  @Test func everyFolderOfAShardIsOnTheMap() throws {
    let line = try #require(Self.map.split(separator: "\n").first { $0.contains(" Shard/ ") })
    let found = try FileManager.default.contentsOfDirectory(
      at: ReadmeTests.root.appendingPathComponent("Sources/Relay/Shard"), includingPropertiesForKeys: nil)
    for url in found where url.pathExtension.isEmpty {
      #expect(line.contains(url.lastPathComponent.lowercased()), "\(url.lastPathComponent)")
    }
  }

  @Test(arguments: ["Sources", "Sources/Relay", "Sources/Voltlane"]) func everyFolderIsOnTheMap(folder: String) throws {
    let depth = folder == "Sources" ? 6 : 8
    // What stands below the folder: two may have one of the same name.
    let parent = "\(folder.split(separator: "/").last ?? "")/"
    let below = Self.map.split(separator: "\n")
      .drop { !$0.drop { $0 == " " }.hasPrefix(parent) }.dropFirst()
      .prefix { $0.prefix { $0 == " " }.count >= depth }
      .joined(separator: "\n")
    let found = try FileManager.default.contentsOfDirectory(
      at: ReadmeTests.root.appendingPathComponent(folder), includingPropertiesForKeys: [.isDirectoryKey])
    for url in found where try url.resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true {
      let name = url.lastPathComponent
      // Modules of C are one line together.
      guard url.pathExtension.isEmpty, name.prefixMatch(of: /C[A-Z]/) == nil || name == "CLinux" else { continue }
      let line = try Regex("(?m)^.* \(name)/")
      #expect(below.contains(line), "\(folder)/\(name)")
    }
  }

  @Test func whatIsOnTheMapIsThere() {
    for name in Self.map.matches(of: #/ {4,}([A-Z]\w*)\/ /#).map({ String($0.1) }) {
      let exists = ["", "Sources", "Sources/Relay", "Sources/Voltlane", "Sources/Voltlane/Settings"].contains {
        folder in
        FileManager.default.fileExists(atPath: ReadmeTests.root.appendingPathComponent("\(folder)/\(name)").path)
      }
      #expect(exists, "\(name)")
    }
    for name in Self.map.matches(of: #/([A-Z]\w*\.swift) /#).map({ String($0.1) }) {
      #expect(Self.files[name] != nil, "\(name)")
    }
  }
}
