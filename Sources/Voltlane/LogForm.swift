import Logging
import VoltlaneText

/// How `--log-format` writes a message.
enum LogFormat: String, CaseIterable, Sendable {
  case text, json
}

/// How a line of the log looks:
///
///     2026-11-24T18:29:23.042Z warning  backend lost: Connection reset by peer  count=3
///     {"time":"2026-11-24T18:29:23.042Z","level":"warning","message":"backend lost: …","count":3}
///
/// Lines that C makes, of crashes and of what others write to standard error, look the same (line.c).
struct LogForm: Sendable {
  var format = LogFormat.text
  /// Whether each line begins with its priority, as systemd's journal reads it: `<4>`.
  var hasPriorities = false

  /// What text leaves out, because its message says it in words.
  static let onlyForMachines: Set<String> = ["event", "reason"]

  /// The line, with its newline.
  func line(time: UTCTime, level: Logger.Level, message: String, metadata: Logger.Metadata) -> String {
    let priority = hasPriorities ? "<\(level.priority)>" : ""
    let fields = metadata.sorted { $0.key < $1.key }
    switch format {
    case .text: return priority + text(time, level, message, fields)
    case .json: return priority + json(time, level, message, fields)
    }
  }

  private func text(
    _ time: UTCTime, _ level: Logger.Level, _ message: String, _ fields: [(key: String, value: Logger.MetadataValue)]
  ) -> String {
    let name = level.rawValue.padded(to: Logger.Level.allCases.map(\.rawValue.count).max() ?? 0)
    let pairs = fields.filter { !Self.onlyForMachines.contains($0.key) }.map { " \($0.key)=\($0.value)" }.joined()
    return "\(time) \(name) \(Self.oneLine(message + (pairs.isEmpty ? "" : " " + pairs)))\n"
  }

  private func json(
    _ time: UTCTime, _ level: Logger.Level, _ message: String, _ fields: [(key: String, value: Logger.MetadataValue)]
  ) -> String {
    let start = [("time", "\(time)"), ("level", level.rawValue), ("message", message)]
    let members =
      start.map { JSON.Member($0.0, .string($0.1)) } + fields.map { JSON.Member($0.key, $0.value.json) }
    return "\(JSON.object(members))\n"
  }

  /// A message is one line, whatever a stranger managed to put into it.
  private static func oneLine(_ text: String) -> String {
    var line = ""
    for scalar in text.unicodeScalars {
      if scalar.isUnseen {
        line += scalar.escaped(asASCII: true)
      } else {
        line.unicodeScalars.append(scalar)
      }
    }
    return line
  }
}

extension Logger.Level {
  /// Of syslog.
  fileprivate var priority: Int {
    switch self {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}

extension Logger.MetadataValue {
  /// A number where it is one. An id is none, whatever its digits are.
  static func number(_ number: some BinaryInteger & Sendable) -> Logger.MetadataValue { .stringConvertible(number) }

  /// Seconds: text has their unit, JSON a number.
  static func seconds(_ count: UInt64) -> Logger.MetadataValue { .stringConvertible(LoggedSeconds(count: count)) }

  fileprivate var json: JSON {
    switch self {
    case .stringConvertible(let number as any BinaryInteger): .number("\(number)")
    case .stringConvertible(let seconds as LoggedSeconds): .integer(seconds.count)
    case .array(let values): .array(values.map(\.json))
    default: .string("\(self)")
    }
  }
}

private struct LoggedSeconds: CustomStringConvertible, Sendable {
  let count: UInt64

  var description: String { "\(count)s" }
}

extension String {
  func padded(to count: Int) -> String {
    self + String(repeating: " ", count: Swift.max(0, count - self.count))
  }
}
