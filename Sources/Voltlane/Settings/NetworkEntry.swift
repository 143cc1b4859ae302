import Relay
import VoltlaneSettings

/// An entry of a list of addresses: a network, or a file with one network per line.
struct NetworkEntry: Sendable {
  private(set) var network: Network?
  /// The file with networks. It is read when everything that was given is put together.
  private(set) var file: String?
  /// Clients on unix sockets, if the list may contain them.
  private(set) var hasUnix = false

  static let form = "a network such as 10.0.0.0/8 or 2001:db8::/32, an address, or @FILE with one of these a line"

  init(_ text: String, allowsUnix: Bool = false) throws(Refusal) {
    if text == "none" { return }
    if allowsUnix, text == "unix" {
      hasUnix = true
    } else if text.hasPrefix("@") {
      guard text.utf8.count > 1 else { throw .because("the file name is missing") }
      guard !text.utf8.contains(0) else { throw .because("a file name cannot contain a zero byte") }
      file = String(text.dropFirst())
    } else {
      do throws(Network.Malformed) {
        network = try Network(text)
      } catch {
        throw .because(error.reason)
      }
    }
  }

  /// The networks in the contents of a file. Empty lines and everything after a # are skipped, whatever the encoding of
  /// the latter; line ends of all systems are understood.
  static func networks(in bytes: [UInt8], of path: String) throws(FileError) -> [Network] {
    // The byte order mark that some editors write.
    var rest = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes[3...] : bytes[...]
    var networks: [Network] = []
    var number = 0
    while !rest.isEmpty {
      number += 1
      let line = rest.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
      let isTwo = rest.dropFirst(line.count).starts(with: [UInt8(ascii: "\r"), UInt8(ascii: "\n")])
      rest = rest.dropFirst(line.count + (isTwo ? 2 : 1))
      let text = trimmed(String(decoding: line.prefix { $0 != UInt8(ascii: "#") }, as: UTF8.self))
      guard !text.isEmpty else { continue }
      do throws(Network.Malformed) {
        networks.append(try Network(text))
      } catch {
        throw FileError(path, line: number, error.reason)
      }
    }
    return networks
  }

  private static func trimmed(_ line: String) -> String {
    var text = line.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
