import ArgumentParser
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

/// The configuration that `arguments` give on `machine`.
func configure(_ arguments: [String], on machine: Machine = .test) throws -> ProgramConfiguration {
  let given = try GivenSettings(flags: try Flags.parse(arguments).given, environment: [:], read: { _ in "" })
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
