import VoltlaneSettings
import VoltlaneText

/// Where clients connect: an address that the relay opens, or a socket that systemd has opened for it.
enum ListenChoice: Equatable, Sendable {
  case address(Endpoint)
  /// All sockets that are passed under this name (`FileDescriptorName=`).
  case passed(String)

  static let scheme = "systemd:"
  static let forms = "\(Endpoint.forms), or systemd:NAME"
  /// As long as systemd lets a name be.
  static let longestName = 255

  init(_ text: String) throws(Refusal) {
    let name = text.dropFirst(Self.scheme.count)
    // Digits are the port of a host that is called systemd.
    guard text.hasPrefix(Self.scheme), !name.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      self = .address(try Settings.endpoint(text))
      return
    }
    // A variable of the environment has commas between listeners, and systemd colons between names.
    guard name.utf8.count <= Self.longestName, name.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
      !name.contains(where: { ",:".contains($0) })
    else {
      throw .because("the name of a socket has at most \(Self.longestName) characters of ASCII, and no : , or space")
    }
    self = .passed(String(name))
  }

  var address: Endpoint? {
    if case .address(let endpoint) = self { endpoint } else { nil }
  }

  var passedName: String? {
    if case .passed(let name) = self { name } else { nil }
  }
}
