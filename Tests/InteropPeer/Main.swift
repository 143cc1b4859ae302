import Glibc

/// The Swift libraries' part in the interop tests: `InteropPeer client` or `InteropPeer backend`. Its lines are
/// described in Tests/Interop/README.md.
@main struct InteropPeer {
  static func main() async {
    guard let role = CommandLine.arguments.dropFirst().first, role == "client" || role == "backend" else {
      exit(64)
    }
    let client = ClientPeer()
    let backend = BackendPeer()
    while let line = readLine() {
      let words = line.split(separator: " ")
      guard let command = words.first else { continue }
      let rest = Array(words.dropFirst())
      print(role == "client" ? await client.answer(command, rest) : await backend.answer(command, rest))
      fflush(nil)
    }
  }
}
