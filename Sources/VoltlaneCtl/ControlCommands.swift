import ArgumentParser
import VoltlaneSettings
import VoltlaneText

struct Status: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "Whether the relay is well, in a few lines.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "status"] }

  func show(_ answer: JSON) -> String {
    func text(_ name: String) -> String { answer[name]?.string ?? "?" }
    func number(_ name: String) -> Int { answer[name]?.integer ?? 0 }
    var state = text("state")
    if let left = answer["drain_seconds_left"]?.real { state += ", at most \(Shown.time(left)) more" }
    if answer["accepts"]?.bool == false { state += "; accepts nobody" }
    if let reason = answer["ready_reason"]?.string, !reason.isEmpty { state += "; not ready: \(reason)" }
    let listeners = (answer["listeners"]?.array ?? []).compactMap(\.string).joined(separator: " ")
    let behind = answer["backend_behind_seconds"]?.real ?? 0
    let rows = [
      ("relay", "\(text("version")), pid \(number("pid")), up \(Shown.time(answer["uptime_seconds"]?.real ?? 0))"),
      ("state", state), ("kernel", text("io")), ("listening on", listeners),
      ("backend", text("backend") + (behind > 0 ? ", \(Shown.time(behind)) behind" : "")),
      ("sessions", "\(number("sessions")), \(number("sessions_ended")) have ended"),
      ("clients", "\(number("clients_accepted")) accepted, \(number("clients_refused")) refused"),
      ("up", "\(number("packets_up")) packets, \(Shown.bytes(number("bytes_up")))"),
      ("down", "\(number("packets_down")) packets, \(Shown.bytes(number("bytes_down")))"),
      ("bans", "\(number("bans"))"),
      ("log", "level \(text("log_level")), \(number("log_lines_dropped")) lines dropped"),
    ]
    return Shown.pairs(rows)
  }
}

struct Kick: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ends a session, or all from an address or network.",
    discussion: """
      The backend is told `kicked`. Clients may connect again: see ban. On a terminal, a network has to be confirmed; \
      elsewhere one that is wider than a /16 of IPv4 or a /32 of IPv6 needs --yes.
      """)
  @OptionGroup var common: Common
  @Argument(help: "The session's id.") var id: String?
  @Option(help: ArgumentHelp("All sessions from this address or network.", valueName: "cidr")) var address: String?
  @Flag(help: "Ask no question.") var yes = false

  func run() throws {
    let isSure = try address.map { try Question.isAnswered("", of: $0, yes: yes, common) } ?? false
    var members = request().members ?? []
    if isSure { members.append(JSON.Member("yes", true)) }
    try carryOut(.object(members))
  }

  func validate() throws {
    guard (id == nil) != (address == nil) else { throw ValidationError("Give an id, or --address.") }
  }

  func request() -> JSON {
    if let id { return ["command": "kick", "id": .string(id)] }
    return ["command": "kick", "address": address.map { .string($0) } ?? .null]
  }

  func show(_ answer: JSON) -> String { "ended \(Shown.count(answer["ended"]?.integer ?? 0, "session"))" }
}

struct Ban: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Keeps an address or network out, and ends its sessions.",
    discussion: """
      A single IPv6 address means its /64, which limits count as one client. \
      It lasts for --for, or until the relay ends; what --deny has in the file lasts longer. --allow wins over it. \
      On a terminal, a network has to be confirmed; elsewhere one that is wider than a /16 of IPv4 or a /32 of IPv6 \
      needs --yes.
      """)
  @OptionGroup var common: Common
  @Argument(help: "The address or network.") var cidr: String
  @Option(name: .customLong("for"), help: ArgumentHelp("How long, such as 10m.", valueName: "time")) var time: Period?
  @Flag(help: "Ask no question.") var yes = false

  func run() throws {
    var members = request().members ?? []
    let isSure = try Question.isAnswered(", and keeps clients from there out", of: cidr, yes: yes, common)
    if isSure { members.append(JSON.Member("yes", true)) }
    try carryOut(.object(members))
  }

  func request() -> JSON {
    ["command": "ban", "network": .string(cidr), "seconds": time?.json ?? .null]
  }

  func show(_ answer: JSON) -> String {
    let warning = answer["warning"]?.string.map { "\nwarning: \($0)" } ?? ""
    let period = time.map { " for \($0.duration.setting)" } ?? " until the relay ends"
    // Of a single IPv6 address, the network of its owner.
    let network = answer["network"]?.string ?? cidr
    return "banned \(network)\(period), ended \(Shown.count(answer["ended"]?.integer ?? 0, "session"))\(warning)"
  }
}

struct Unban: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "Lets an address or network in again that was banned here.")
  @OptionGroup var common: Common
  @Argument(help: "The address or network, as it was banned.") var cidr: String

  func request() -> JSON { ["command": "unban", "network": .string(cidr)] }
  func show(_ answer: JSON) -> String { "\(answer["network"]?.string ?? cidr) is no longer banned" }
}

struct Bans: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "Whom ban keeps out.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "bans"] }

  func show(_ answer: JSON) -> String {
    let bans = answer["bans"]?.array ?? []
    guard !bans.isEmpty else { return "nothing is banned" }
    return bans.map { ban in
      let left = ban["seconds_left"]?.real.map { "for \(Shown.time($0))" } ?? "until the relay ends"
      return "\(ban["network"]?.string ?? "?") \(left)"
    }.joined(separator: "\n")
  }
}

struct Set: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Changes a setting that SIGHUP could change.",
    discussion: """
      The value is checked as at the start. The file keeps what it has: a reload or a restart returns to that.

        voltlane-ctl set stale-timeout 10m
        voltlane-ctl set deny 192.0.2.0/24 @/etc/voltlane/deny
      """)
  @OptionGroup var common: Common
  @Argument(help: "The setting, as its flag without --.") var setting: String
  @Argument(parsing: .remaining, help: "Its value, or values.") var values: [String]

  func request() -> JSON {
    ["command": "set", "setting": .string(setting), "values": .array(values.map { .string($0) })]
  }

  func show(_ answer: JSON) -> String { Changes.text(answer) }
}

struct LogLevel: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows or changes the least important level that is logged.")
  @OptionGroup var common: Common
  @Argument(help: "trace, debug, info, notice, warning, error or critical.") var level: String?

  func request() -> JSON {
    guard let level else { return ["command": "status"] }
    return ["command": "set", "setting": "log-level", "values": [.string(level)]]
  }

  func show(_ answer: JSON) -> String { level == nil ? answer["log_level"]?.string ?? "?" : Changes.text(answer) }
}

struct Settings: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "Every setting with its value and where that comes from.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "settings"] }
  func show(_ answer: JSON) -> String { answer["settings"]?.string ?? "?" }
}

struct Drain: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lets clients go one by one, then shuts the relay down.",
    discussion: """
      The relay stops accepting and lets clients go over --time (its --drain-time by default), the longest idle first. \
      undrain takes that back until the relay begins to shut down. With --wait the command ends when the relay has, as \
      a supervisor needs it whose next step is SIGTERM: that would cut the drain short.
      """)
  @OptionGroup var common: Common
  @Option(help: "Over what time, such as 5m.") var time: Period?
  @Flag(help: "Wait until the relay has ended, and fail if somebody takes the drain back.") var wait = false

  func run() throws {
    let connection = try common.connect()
    let answer = try connection.ask(request())
    try StandardOutput.write(common.json ? "\(answer)" : show(answer))
    if wait { try connection.waitForEnd() }
  }

  func request() -> JSON { ["command": "drain", "seconds": time?.json ?? .null] }

  func show(_ answer: JSON) -> String {
    let sessions = Shown.count(answer["sessions"]?.integer ?? 0, "session")
    return "draining \(sessions) over \(Shown.time(answer["seconds"]?.real ?? 0))"
  }
}

struct Undrain: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "Takes a drain back: the relay accepts clients again.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "undrain"] }
  func show(_ answer: JSON) -> String {
    "accepting clients again; \(Shown.count(answer["sessions"]?.integer ?? 0, "session")) left"
  }
}

struct Reload: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads the settings' file and lists again, as SIGHUP does, and says what came of it.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "reload"] }
  func show(_ answer: JSON) -> String { Changes.text(answer) }
}

struct Metrics: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "All metrics, in Prometheus' text format; with --json what /varz has.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": common.json ? "varz" : "metrics"] }

  func show(_ answer: JSON) -> String {
    let text = answer["text"]?.string ?? ""
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }
}

struct RelayVersion: ControlCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "The version of the relay that runs.",
    discussion: "--version is this program's.")
  @OptionGroup var common: Common

  func request() -> JSON { ["command": "version"] }
  func show(_ answer: JSON) -> String { answer["version"]?.string ?? "?" }
}

/// A time as settings are written.
struct Period: ExpressibleByArgument {
  let duration: Duration

  init?(argument: String) {
    let range = Duration.zero...Duration.seconds(365 * 24 * 60 * 60)
    guard let duration = try? Duration(setting: argument, in: range), range.contains(duration) else { return nil }
    self.duration = duration
  }

  var json: JSON { .real(duration / .seconds(1)) }
}
