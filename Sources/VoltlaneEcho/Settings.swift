import VoltlaneSettings
import VoltlaneText
import VoltlaneWire

/// Every setting of the program.
enum Settings: SettingDefinitions {
  static let listen = Setting(
    name: "listen", placeholder: "ADDRESS", standard: "127.0.0.1:42001", allowed: Endpoint.forms,
    summary: "Where to listen for the relay. Port 0 takes a free port.", read: endpoint)

  static let maxPacketSize = Setting(
    name: "max-packet-size", placeholder: "SIZE", standard: "\(Wire.defaultMaxPacketSize)",
    allowed: sizes(Wire.maxPacketSizes),
    summary: "The relay's --max-packet-size. A larger packet ends its connection.",
    read: size(in: Wire.maxPacketSizes))

  static let entries: [SettingEntry] = [listen.entry, maxPacketSize.entry]
}
