import Relay
import VoltlaneSettings
import VoltlaneText

struct AddressSettings: SettingsTopic {
  static let title = "Addresses"

  let listen = RelaySetting(
    Setting(
      name: "listen", kind: .listener, standard: "127.0.0.1:42000",
      summary: """
        Where clients connect. [::] accepts IPv6 only, so give 0.0.0.0 as well for IPv4. The relay listens on every \
        address of a name. 'systemd:NAME': the sockets that systemd has opened under that name (FileDescriptorName=). \
        May be given several times.
        """,
      isRepeatable: true),
    reload: .no,
    placeAll: { choices, program in
      program.listeners = choices
      program.relay.listeners = choices.compactMap(\.address)
    })

  let unixSocketMode = RelaySetting(
    Setting(
      name: "unix-socket-mode", kind: .automatic(.permissions, word: "umask"), standard: "umask",
      summary: """
        Who may connect to a unix socket of --listen: the permissions of its file, of which write permission is what \
        lets a process connect. 'umask': what the process's umask leaves.
        """),
    reload: .no, to: \.unixSocketMode)

  let unixSocketGroup = RelaySetting(
    Setting(
      name: "unix-socket-group", kind: .automatic(.group, word: "none"), standard: "none",
      summary: "The group of the file of a unix socket of --listen. 'none': the process's own."),
    reload: .no, to: \.unixSocketGroup)

  let backend = RelaySetting(
    Setting(
      name: "backend", alias: "master", kind: .backend, standard: "127.0.0.1:42001",
      summary: "The backend to dial. 'echo' embeds one that sends every packet back."),
    reload: .no,
    place: { backend, program in
      switch backend {
      case .address(let endpoint):
        program.relay.backend = endpoint
        program.embedsEcho = false
      case .echo:
        // Its port is not known yet.
        program.relay.backend = .tcp(host: "127.0.0.1", port: 0)
        program.embedsEcho = true
      }
    })

  let addresses = RelaySetting(
    Setting(
      name: "addresses", kind: .onOff, standard: "off",
      summary: """
        Whether the backend is told, by a 0x07, where each client connects from, and again when it comes back.
        """),
    // It would be unknown for clients that are already connected.
    reload: .no, to: \.tellsAddresses)
}

extension SettingKind where Value == ListenChoice {
  fileprivate static var listener: SettingKind {
    SettingKind("ADDRESS", allowed: ListenChoice.forms) { text throws(Refusal) in try ListenChoice(text) }
  }
}

extension SettingKind where Value == BackendChoice {
  fileprivate static var backend: SettingKind {
    SettingKind("ADDRESS", allowed: "\(Endpoint.forms), or echo") { text throws(Refusal) in try BackendChoice(text) }
  }
}

extension SettingKind where Value == UInt16 {
  /// Permissions in octal digits, as for chmod.
  fileprivate static var permissions: SettingKind {
    SettingKind(
      "MODE", allowed: "three octal digits such as 660, with a 0 before them or not",
      read: Settings.oneOf { text in
        let digits = text.count == 4 && text.hasPrefix("0") ? text.dropFirst() : text[...]
        guard digits.count == 3, digits.utf8.allSatisfy({ (0x30...0x37).contains($0) }) else { return nil }
        return UInt16(digits, radix: 8)
      })
  }
}

extension SettingKind where Value == UInt32 {
  /// The number of a group.
  fileprivate static var group: SettingKind {
    SettingKind("GROUP", allowed: "the name or the number of a group") { text throws(Refusal) in
      // The largest number means none.
      if let number = UInt32(exactly: wholeNumber(text) ?? -1), number < .max { return number }
      guard let number = System.group(text) else { throw .because("there is no such group") }
      return number
    }
  }
}
