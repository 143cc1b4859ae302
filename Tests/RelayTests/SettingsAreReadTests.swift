import Foundation
import Testing

@testable import Relay

/// No setting ends in a field that nobody reads: what an operator sets does something.
@Suite struct SettingsAreReadTests {
  private static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Sources/Relay")

  /// The data plane's sources without comments, but those of `file`, where the fields are declared.
  private static func code(without file: String) throws -> String {
    let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
    var code = ""
    for case let url as URL in files where url.pathExtension == "swift" && url.lastPathComponent != file {
      code += try String(contentsOf: url, encoding: .utf8)
    }
    return code.replacing(#/\/\/.*/#, with: "")
  }

  private static func fields(_ value: Any) -> [String] { Mirror(reflecting: value).children.compactMap(\.label) }

  private static func unread(_ value: Any, _ file: String, behind name: String) throws -> [String] {
    let code = try code(without: file)
    let fields = fields(value)
    #expect(!fields.isEmpty)
    return try fields.filter { field in
      // Simple boundaries: for the others a name with a dot in it is one word.
      let read = try Regex("\\b\(name)\\.\(field)\\b").wordBoundaryKind(.simple)
      return code.firstMatch(of: read) == nil
    }
  }

  private static let configuration = RelayConfiguration(listeners: [], backend: .unix(path: "/nowhere"))

  @Test func ofTheConfiguration() throws {
    #expect(try Self.unread(Self.configuration, "RelayConfiguration.swift", behind: "configuration") == [])
  }

  @Test func ofProtection() throws {
    let file = "ProtectionConfiguration.swift"
    #expect(try Self.unread(Self.configuration.protection, file, behind: "(protection|configuration)") == [])
  }

  /// What a shard and the firehose are given of it, they use.
  @Test func ofTheRoles() throws {
    #expect(try Self.unread(ShardSettings(Self.configuration), "ShardSettings.swift", behind: "(settings|old)") == [])
    let file = "FirehoseSettings.swift"
    #expect(try Self.unread(FirehoseSettings(Self.configuration), file, behind: "settings") == [])
  }

  /// The test itself: a field that nobody reads is found.
  @Test func anUnreadFieldIsFound() throws {
    struct Odd { let oddField = 1 }
    #expect(try Self.unread(Odd(), "nowhere.swift", behind: "settings") == ["oddField"])
  }
}
