import NIOCore
import VoltlaneCrypto
import VoltlaneSettings
import VoltlaneText
import VoltlaneWire

/// Every setting of the program that has a value.
enum Settings: SettingDefinitions {
  /// The argument. Its errors name it as the help does.
  static let relay = Setting(
    name: "ADDRESS", placeholder: "ADDRESS", standard: "", allowed: Endpoint.forms, summary: "The relay.",
    read: reachableEndpoint)

  static let wait = Setting(
    name: "wait", placeholder: "TIME|inf", standard: "1s", allowed: "inf, or \(durations(waits))",
    summary: """
      After the end of stdin, exit when no packet has arrived for this long. 'inf': stay until the relay ends the \
      connection.
      """,
    read: automatic(duration(in: waits), word: "inf"))

  static let connectTimeout = Setting(
    name: "connect-timeout", placeholder: "TIME", standard: "10s", allowed: durations(timeouts),
    summary: "How long each attempt may take to reach the relay and shake hands.",
    read: duration(in: timeouts))

  static let maxPacketSize = Setting(
    name: "max-packet-size", placeholder: "SIZE", standard: "\(Wire.defaultMaxPacketSize)",
    allowed: sizes(Wire.maxPacketSizes), summary: "The largest packet either way: the relay's --max-packet-size.",
    read: size(in: Wire.maxPacketSizes))

  static let relayKey = Setting(
    name: "relay-key", placeholder: "KEY|any", standard: "any",
    allowed: "any, or a public key as this program and the relay's log tell it: 66 hexadecimal digits",
    summary: "The relay's public key. A relay with another key is rejected.",
    read: automatic({ text throws(Refusal) in try publicKey(text) }, word: "any"))

  static let giveUp = Setting(
    name: "give-up", placeholder: "TIME|inf", standard: "5m", allowed: "inf, or \(durations(waits))",
    summary: "How long to try to come back after the connection was lost. 'inf': for ever.",
    read: automatic(duration(in: waits), word: "inf"))

  static let session = Setting(
    name: "session", placeholder: "FILE|none", standard: "none",
    allowed: "none, or a file that only its owner can read",
    summary: """
      Come back as the client whose session is in this file; if there is no file, or its session is over, begin a new \
      one and save it there. The file holds a secret key.
      """,
    read: automatic(oneOf { $0.isEmpty || $0.utf8.contains(0) ? nil : $0 }, word: "none"))

  /// The argument is not a flag, so it is not among them.
  static let entries: [SettingEntry] = [
    wait.entry, connectTimeout.entry, maxPacketSize.entry, relayKey.entry, giveUp.entry, session.entry,
  ]

  private static let waits = Duration.zero ... .seconds(7 * 86_400)
  private static let timeouts = Duration.milliseconds(1) ... .seconds(86_400)

  /// The key that `text` gives in hexadecimal.
  private static func publicKey(_ text: String) throws(Refusal) -> [UInt8] {
    guard text.count == 2 * PublicKey.byteCount else { throw .because("it has \(text.count) characters") }
    guard let key = bytes(hexadecimal: text) else {
      throw .because("it has a character that is not a hexadecimal digit")
    }
    do {
      return try PublicKey(sec1: ByteBuffer(bytes: key).readableBytesSpan).compressed
    } catch {
      throw .because(error.description)
    }
  }
}
