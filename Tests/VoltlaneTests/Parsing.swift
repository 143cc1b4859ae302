import ArgumentParser
import Synchronization
import Testing
import VoltlaneSettings

@testable import Voltlane

extension Machine {
  /// A machine for tests: four CPUs with a gap, 8 GiB.
  static let test = Machine(
    allowedCPUs: [0, 1, 4, 5], cpuQuota: nil, memory: 8 << 30, congestionControls: ["reno", "cubic"])

  static func test(cpuCount: Int) -> Machine {
    var machine = Machine.test
    machine.allowedCPUs = Array(0..<cpuCount)
    return machine
  }
}

extension SettingsFiles {
  /// Any file of settings has `text`; lists are real files.
  convenience init(configuration text: String?, after before: [String: Int]? = nil) {
    let read: Read = { path, limit throws(FileError) in
      if path == "relay.toml" { return Array((text ?? "").utf8) }
      return try FileReader(occasion: before == nil ? .start : .reload).bytes(of: path, atMost: limit)
    }
    if let before { self.init(after: before, read) } else { self.init(read) }
  }
}

private let parsed = Mutex<[[String]: [Given]]>([:])

/// What flags give. The same arguments are parsed once: in a debug build ArgumentParser examines every declaration each
/// time, which takes a quarter of a second and would be most of what these tests do.
func given(_ arguments: [String]) throws -> [Given] {
  if let known = parsed.withLock({ $0[arguments] }) { return known }
  let given = try Flags.parse(arguments).given
  parsed.withLock { $0[arguments] = given }
  return given
}

/// The configuration that `arguments` give on `machine`.
func configure(_ arguments: [String], on machine: Machine = .test) throws -> ProgramConfiguration {
  let given = try GivenSettings(flags: try given(arguments), environment: [:], files: SettingsFiles())
  return try ProgramConfiguration(given, on: machine)
}

/// What `arguments` are refused with on `machine`; nil where they are accepted.
func refusal(_ arguments: [String], on machine: Machine = .test) throws -> SettingError? {
  do {
    _ = try configure(arguments, on: machine)
    return nil
  } catch let error as SettingError {
    return error
  }
}
