import Relay
import VoltlaneService
import VoltlaneSettings
import VoltlaneText

/// An entry of a list of addresses: networks, or those in a file, one a line.
struct NetworkEntry: Sendable {
  var networks: [Network] = []
  /// The file in which they stand.
  private(set) var file: String?
  /// Who connects to unix sockets, where the list may have them.
  var hasUnix = false

  static let form = "a network such as 10.0.0.0/8 or 2001:db8::/32, an address, or @FILE with one of these a line"
  private static let largestFile = 16 << 20

  init(_ text: String, allowsUnix: Bool = false) throws(Refusal) {
    if text == "none" { return }
    if allowsUnix, text == "unix" {
      hasUnix = true
    } else if text.hasPrefix("@") {
      let path = String(text.dropFirst())
      file = path
      networks = try NetworkEntry.read(path)
    } else {
      networks = [try NetworkEntry.network(text)]
    }
  }

  /// The networks in a file; empty lines and what stands behind a # are left out.
  private static func read(_ path: String) throws(Refusal) -> [Network] {
    let bytes: [UInt8]
    do throws(StartError) {
      bytes = try System.bytes(of: path, atMost: largestFile + 1)
    } catch {
      throw .because("\(path) cannot be read: \(systemMessage(error.errno))")
    }
    guard bytes.count <= largestFile else {
      throw .because("\(path) is longer than \(ByteSize(bytes: largestFile))")
    }
    var contents = String(decoding: bytes, as: UTF8.self)[...]
    // The mark that editors of another system put in front.
    if contents.unicodeScalars.first == "\u{feff}" { contents.unicodeScalars.removeFirst() }
    var networks: [Network] = []
    // A carriage return and a newline are one character, which is another one than either.
    for (index, line) in contents.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let text = trimmed(line.prefix { $0 != "#" })
      guard !text.isEmpty else { continue }
      do throws(Refusal) {
        networks.append(try network(text))
      } catch {
        throw .because("\(path):\(index + 1): \(error.reason ?? text)")
      }
    }
    return networks
  }

  private static func trimmed(_ line: Substring) -> String {
    var text = line.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }

  private static func network(_ text: String) throws(Refusal) -> Network {
    do throws(Network.Malformed) {
      return try Network(text)
    } catch {
      throw .because(error.reason)
    }
  }
}
