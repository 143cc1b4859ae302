import Relay
import VoltlaneSettings
import VoltlaneText

/// A setting of connserver, Voltlane's predecessor. Its configuration and environment are understood, so that a
/// deployment can move over unchanged. Today's names take precedence.
struct EarlierSetting: Sendable {
  /// Its place in connserver.toml.
  let table: String
  let key: String
  /// The flag that replaces it; nil if there is nothing left to set.
  let today: String?
  /// Reads its value, and writes it in today's form. A value above today's maximum becomes the maximum, because
  /// connserver accepted any number.
  let convert: @Sendable (String) throws(Refusal) -> Converted

  struct Converted {
    var text: String
    /// Whether the value given was larger.
    var isMost = false
  }
  /// Why there is nothing left to set.
  var remark = ""

  var variable: String {
    let words = table == "general" ? [key] : [table, key]
    return EnvironmentSettings.prefix + words.joined(separator: "_").uppercased()
  }

  static let all = [
    EarlierSetting(table: "general", key: "log_level", today: Settings.operation.logLevel.name, convert: level),
    EarlierSetting(table: "listener", key: "address", today: Settings.addresses.listen.name, convert: address),
    EarlierSetting(table: "master", key: "address", today: Settings.addresses.backend.name, convert: address),
    EarlierSetting(
      table: "master", key: "channel_capacity", today: nil, convert: bytes,
      remark: "the queue for the backend has a bound of its own, in bytes"),
    EarlierSetting(
      table: "clients", key: "channel_capacity", today: Settings.limits.clientSendBuffer.name, convert: bytes),
    EarlierSetting(
      table: "clients", key: "stale_timeout_secs", today: Settings.sessions.staleTimeout.name, convert: seconds),
    EarlierSetting(
      table: "clients", key: "max_stale_clients", today: Settings.sessions.maxStaleClients.name,
      convert: { text throws(Refusal) in
        let (number, isMost) = try number(text, atMost: RelayConfiguration.maxStaleClientsRange.upperBound)
        return Converted(text: String(number), isMost: isMost)
      }),
    EarlierSetting(
      table: "clients", key: "stale_reap_interval_secs", today: nil, convert: seconds,
      remark: "a stale session ends as soon as its time is over"),
    EarlierSetting(
      table: "clients", key: "missed_packets_buffer_size", today: Settings.sessions.missedPacketsBuffer.name,
      convert: bytes),
  ]

  /// The file that connserver read in its working directory.
  static let file = "connserver.toml"

  /// The file from which it read variables.
  static let environmentFile = ".env"

  /// What to say about connserver's files in this folder that were not given to this program. A `.env` may belong to
  /// another program, and is then not mentioned.
  static func filesPassedOver(
    by config: String?, _ environment: [String: String] = System.environment(),
    _ contents: (String) -> String? = System.contents
  ) -> [String] {
    var remarks: [String] = []
    if config == nil, contents(file) != nil {
      remarks.append("there is a \(file) here, which is only read with --config \(file)")
    }
    let lines = (contents(environmentFile) ?? "").split(whereSeparator: \.isNewline)
    // If the process has the variable, somebody has read the file for it.
    let names = lines.compactMap { line in
      line.firstMatch(of: #/^\s*(?:export\s+)?(VOLTLANE_\w*)\s*=/#).map { String($0.1) }
    }.filter { environment[$0] == nil }
    if let first = names.first {
      remarks.append(
        """
        there is a \(environmentFile) here with \(first)\(names.count > 1 ? " and others" : ""), which is not read: \
        give its variables to the process (EnvironmentFile= in systemd, --env-file in Docker)
        """)
    }
    return remarks
  }

  /// connserver counted packets; today the limit is in bytes.
  static let bytesPerPacket = 4096

  // MARK: Its values

  private static func number(_ text: String, atMost most: Int) throws(Refusal) -> (number: Int, isMost: Bool) {
    if let number = wholeNumber(text) { return (min(number, most), number > most) }
    // So many digits that they do not fit an Int.
    guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      throw .because("it is not a whole number")
    }
    return (most, true)
  }

  @Sendable private static func seconds(_ text: String) throws(Refusal) -> Converted {
    let most = RelayConfiguration.staleTimeoutRange.upperBound
    let (number, isMost) = try number(text, atMost: Int(most.components.seconds))
    return Converted(text: isMost ? most.setting : "\(number)s", isMost: isMost)
  }

  @Sendable private static func bytes(_ text: String) throws(Refusal) -> Converted {
    let (number, isMost) = try number(text, atMost: RelayConfiguration.budgetRange.upperBound / bytesPerPacket)
    return Converted(text: ByteSize(bytes: number * bytesPerPacket).description, isMost: isMost)
  }

  @Sendable private static func level(_ text: String) throws(Refusal) -> Converted {
    switch text.lowercased() {
    case "warn": Converted(text: "warning")
    // The log cannot be turned off today, but hardly anything in it is critical.
    case "off": Converted(text: "critical")
    case let level: Converted(text: level)
    }
  }

  /// An IPv6 address could be written without brackets: the last colon precedes the port.
  @Sendable private static func address(_ text: String) throws(Refusal) -> Converted {
    guard let colon = text.lastIndex(of: ":"), text[..<colon].contains(":"), !text.hasPrefix("[") else {
      return Converted(text: text)
    }
    return Converted(text: "[\(text[..<colon])]\(text[colon...])")
  }
}

/// A value that was given by an earlier name.
struct EarlierGiven: Sendable {
  let setting: EarlierSetting
  /// What it means today; nil if there is nothing left to set.
  let given: Given?
  private let isMost: Bool
  private let origin: Origin

  init(_ setting: EarlierSetting, _ text: String, _ origin: Origin) throws(Refusal) {
    let converted = try setting.convert(text)
    self.setting = setting
    self.origin = origin
    isMost = converted.isMost
    given = setting.today.map { Given(setting: $0, text: converted.text, origin: origin) }
  }

  /// What the log says about it. `winner` is the value given by today's name.
  func warning(winner: Given?) -> String {
    let old = "\(origin.name(of: setting.key)) is a setting of connserver"
    guard let given else { return "\(old) that no longer exists: \(setting.remark)" }
    if let winner { return "\(old), and ignored: \(winner.origin.name(of: winner.setting)) is given" }
    let most = isMost ? ", which is the most" : ""
    switch origin {
    case .variable: return "\(old): today it is \(EnvironmentSettings.variable(given.setting))=\(given.text)\(most)"
    default: return "\(old): today it is \(given.setting) = \"\(given.text)\"\(most)"
    }
  }
}
