import Relay
import VoltlaneCrypto
import VoltlaneSettings
import VoltlaneText

@testable import Voltlane

/// What people and programs write into files, flags and the environment.
enum FuzzText {
  private static let machine = Machine(
    allowedCPUs: [0, 1, 4, 5], cpuQuota: nil, memory: 8 << 30, congestionControls: ["reno", "cubic"])

  /// A file of settings, and behind a byte of 1 the lists that it names: they are read, or what is wrong is said with
  /// its place.
  static func runConfiguration(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 1, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
    let files = SettingsFiles { path, _ throws(FileError) in
      path == "relay.toml" ? parts[0] : parts.count > 1 ? parts[1] : []
    }
    let file = Given(setting: Settings.operation.config.name, text: "relay.toml", origin: .flag)
    do throws(ConfigurationError) {
      let given = try GivenSettings(flags: [file], environment: [:], files: files)
      for warning in given.warnings { precondition(!warning.isEmpty) }
      do throws(SettingError) {
        _ = try ProgramConfiguration(given, on: machine, files: files)
      } catch {
        precondition(!error.description.isEmpty)
      }
    } catch {
      precondition(!error.description.isEmpty)
    }
  }

  /// The first byte chooses the setting, the rest is its value.
  static func runSetting(_ bytes: [UInt8]) {
    guard let chosen = bytes.first, let text = String(validating: bytes.dropFirst(), as: UTF8.self) else { return }
    let entries = Settings.entries
    let index = Int(chosen) % (entries.count + EarlierSetting.all.count)
    guard index < entries.count else {
      let setting = EarlierSetting.all[index - entries.count]
      guard let given = try? EarlierGiven(setting, text, .variable(setting.variable)) else { return }
      // What it is turned into is read as today's, and an error names what was written.
      if let today = given.given, let entry = entries.first(where: { $0.name == today.setting }),
        case .failure(let problem) = entry.read(today)
      {
        precondition(problem.description.contains(setting.variable), "\(problem) does not name \(setting.variable)")
      }
      return
    }
    let entry = entries[index]
    if case .failure(let problem) = entry.read(Given(setting: entry.name, text: text, origin: .flag)) {
      precondition(problem.description.contains(entry.name), "\(problem) does not name \(entry.name)")
    }
  }

  /// A host, and behind a line's end what is asked of the admin endpoint: it is answered, or what is wrong is said.
  static func runAdminRequest(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
    let (host, uri) = (String(decoding: parts[0], as: UTF8.self), String(decoding: parts.last ?? [], as: UTF8.self))
    if AdminRequest.isKnown(host, ownName: nil) {
      // A name of the public DNS is none that a stranger may have.
      let name = host.lowercased().split(separator: ":", omittingEmptySubsequences: false).first ?? ""
      precondition(name == "localhost" || host.hasPrefix("[") || !name.contains { $0.isLetter }, "\(host)")
    }
    do throws(AdminRequest.Refused) {
      let request = try AdminRequest(uri: uri)
      do throws(AdminParameters.Wrong) {
        _ = try ClientsPage(request)
        _ = try EndedPage(request)
      } catch {
        precondition(!error.reason.isEmpty)
      }
    } catch {
      precondition(!error.reason.isEmpty)
    }
  }

  /// A line that the control socket gets: an object that says the same when it is written and read again; and what its
  /// command is given is taken, or what is wrong is said.
  static func runCommand(_ bytes: [UInt8]) {
    guard let request = try? JSON(utf8: bytes) else { return }
    precondition((try? JSON(reading: request.description)) == request, "\(request) is read as something else")
    do throws(ControlError) {
      let arguments = try CommandArguments(request)
      let known = ["setting", "values", "network", "seconds", "top", "order", "address", "state", "id"]
      precondition(!known.contains(where: arguments.has) || !arguments.who.isEmpty)
      try arguments.allow(known)
      for member in 0..<7 {
        do throws(ControlError) { try read(arguments, member) } catch { precondition(!"\(error)".isEmpty) }
      }
    } catch {
      precondition(!"\(error)".isEmpty)
    }
  }

  private static func read(_ arguments: CommandArguments, _ member: Int) throws(ControlError) {
    switch member {
    case 0: _ = try arguments.text("setting")
    case 1: _ = try arguments.texts("values")
    case 2: _ = try arguments.network("network")
    case 3: _ = try arguments.number("top", in: 1...1000)
    case 4: _ = try arguments.duration("seconds", in: .seconds(1)...(.seconds(86_400)))
    case 5: _ = try arguments.word("order", of: SortOrder.self)
    default: _ = try arguments.filter()
    }
  }

  /// A key, or what is wrong and in which line; never more than there is of a file.
  static func runIdentity(_ bytes: [UInt8]) {
    let count = min(bytes.count, Identity.longestFile)
    do {
      var text = try SecretBytes(byteCount: Identity.longestFile)
      text.withMutableSpan { text in
        for index in 0..<count { text[index] = bytes[index] }
      }
      _ = try Identity.key(in: text, count: count, file: "identity")
    } catch {
      precondition(!"\(error)".isEmpty)
    }
  }
}
