import Foundation
import Testing
import VoltlaneSettings

@testable import Voltlane

/// Settings of earlier versions still mean what they meant: `Tests/EarlierSettings` has files with every setting of
/// each version. A setting may get another name, if it is warned of the old one; none is dropped without a word.
@Suite struct EarlierVersionTests {
  static let folder = ReadmeTests.root.appendingPathComponent("Tests/EarlierSettings")
  static let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()

  /// What a file gives: each key with its values, as they would follow a flag.
  private func entries(_ text: String) throws -> [(key: String, texts: [String])] {
    let file = ConfigurationFile(path: "relay.toml", text: text)
    #expect(file.problems.isEmpty)
    return file.given.reduce(into: []) { entries, given in
      if entries.last?.key == given.setting {
        entries[entries.count - 1].texts.append(given.text)
      } else {
        entries.append((given.setting, [given.text]))
      }
    }
  }

  private func text(_ file: String) throws -> String {
    try String(contentsOf: Self.folder.appendingPathComponent(file), encoding: .utf8)
  }

  /// The values that are in effect; a name that is no longer used is warned of.
  private func expectInEffect(_ loaded: LoadedSettings, _ entries: [(key: String, texts: [String])]) {
    for (key, texts) in entries {
      if let entry = Settings.entries.first(where: { $0.name == key }) {
        #expect(loaded.given.texts(of: entry) == texts, "\(key)")
      } else {
        #expect(loaded.given.warnings.contains { $0.contains(key) }, "\(key)")
      }
    }
  }

  @Test func thereIsOneOfTheFirstVersion() throws {
    #expect(Set(Self.files).isSuperset(of: ["0.1.0-extremes.toml", "0.1.0.toml"]))
    let (some, extremes) = (try entries(text("0.1.0.toml")), try entries(text("0.1.0-extremes.toml")))
    #expect(some.count == 54 && some.map(\.key) == extremes.map(\.key))
  }

  @Test(arguments: files) func itsFileIsUnderstood(_ file: String) throws {
    let text = try text(file)
    expectInEffect(try ConfigurationTests.load(file: text), try entries(text))
  }

  /// The same values by flag and by variable.
  @Test(arguments: files) func soAreItsFlagsAndVariables(_ file: String) throws {
    let entries = try entries(text(file))
    let flags = entries.flatMap { key, texts in texts.flatMap { ["--\(key)", $0] } }
    expectInEffect(try ConfigurationTests.load(flags), entries)
    let variables = entries.map { (EnvironmentSettings.variable($0.key), $0.texts.joined(separator: ",")) }
    expectInEffect(try ConfigurationTests.load([], Dictionary(uniqueKeysWithValues: variables)), entries)
  }

  @Test func anOtherNameOfAFlagStaysOne() throws {
    #expect(try configure(["--master", "a:1"]).relay.backend == .tcp(host: "a", port: 1))
  }
}
