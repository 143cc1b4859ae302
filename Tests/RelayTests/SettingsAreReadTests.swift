import Foundation
import Testing

@testable import Relay

/// No setting ends in a field that nobody reads: what an operator sets does something.
@Suite struct SettingsAreReadTests {
  private static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Sources")

  /// What the data plane's sources read of what, such as `settings.announces`; but those of `file`, where the fields
  /// are declared, and nothing in comments.
  private static func reads(without file: String) throws -> Set<String> {
    let relay = FileManager.default.enumerator(
      at: sources.appendingPathComponent("Relay"), includingPropertiesForKeys: nil)
    // How long a drain may take is up to the program that asks for it.
    let files = try #require(relay).allObjects + [sources.appendingPathComponent("Voltlane/ControlLoop.swift")]
    var reads: Set<String> = []
    for case let url as URL in files where url.pathExtension == "swift" && url.lastPathComponent != file {
      for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n") {
        let code = line.components(separatedBy: "//")[0]
        let names = code.split { !($0.isLetter || $0.isNumber || $0 == "." || $0 == "?") }
        for name in names {
          let parts = name.split { $0 == "." || $0 == "?" }
          for (owner, field) in zip(parts, parts.dropFirst()) { reads.insert("\(owner).\(field)") }
        }
      }
    }
    return reads
  }

  /// Fields of `value` that nobody reads of anything that has one of these names.
  private static func unread(_ value: Any, _ file: String, of owners: [String]) throws -> [String] {
    let reads = try reads(without: file)
    let fields = Mirror(reflecting: value).children.compactMap(\.label)
    #expect(!fields.isEmpty)
    return fields.filter { field in !owners.contains { reads.contains("\($0).\(field)") } }
  }

  private static let configuration = RelayConfiguration(listeners: [], backend: .unix(path: "/nowhere"))

  @Test func ofTheConfiguration() throws {
    #expect(try Self.unread(Self.configuration, "RelayConfiguration.swift", of: ["configuration", "self"]) == [])
  }

  @Test func ofProtection() throws {
    let file = "ProtectionConfiguration.swift"
    #expect(try Self.unread(Self.configuration.protection, file, of: ["protection", "configuration"]) == [])
  }

  /// What a shard and the firehose are given of it, they use.
  @Test func ofTheRoles() throws {
    #expect(try Self.unread(ShardSettings(Self.configuration), "ShardSettings.swift", of: ["settings", "old"]) == [])
    let file = "FirehoseSettings.swift"
    #expect(try Self.unread(FirehoseSettings(Self.configuration), file, of: ["settings"]) == [])
  }

  /// The test itself: a field that nobody reads is found.
  @Test func anUnreadFieldIsFound() throws {
    struct Odd { let oddField = 1 }
    #expect(try Self.unread(Odd(), "nowhere.swift", of: ["settings"]) == ["oddField"])
  }
}
