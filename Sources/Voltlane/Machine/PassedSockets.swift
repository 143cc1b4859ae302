import CLinux
import Glibc
import Relay
import VoltlaneText

/// Listening sockets that systemd has opened for the relay (socket activation): each has a name, which several may
/// share.
struct PassedSockets {
  let sockets: [(name: String, descriptor: Int32)]

  /// What a socket is called whose name is not given.
  static let nameless = "unknown"
  /// No process has as many descriptors.
  private static let most = 1 << 20

  /// Those for this process: it may have got its parent's environment.
  init(_ environment: [String: String] = System.environment(), process: Int32 = getpid()) {
    guard environment["LISTEN_PID"] == "\(process)",
      let count = environment["LISTEN_FDS"].flatMap({ Int($0) }), (1...Self.most).contains(count)
    else {
      sockets = []
      return
    }
    let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
    sockets = (0..<count).map { index in
      let name = index < names.count && !names[index].isEmpty ? String(names[index]) : Self.nameless
      return (name, voltlane_first_passed + Int32(index))
    }
  }

  /// The sockets that have one of these names, each of which has to have one.
  func listeners(_ names: [String]) throws(Failure) -> [PassedListener] {
    var listeners: [PassedListener] = []
    for name in names {
      let found = sockets.filter { $0.name == name }
      guard !found.isEmpty else { throw .absent(name, others: self.names) }
      for socket in found {
        switch voltlane_is_listener(socket.descriptor) {
        case Int32(VOLTLANE_LISTENS): listeners.append(PassedListener(name: name, socket: socket.descriptor))
        case Int32(VOLTLANE_DOES_NOT_LISTEN): throw .noListener(name)
        case let error: throw .closed(name, errno: -error)
        }
      }
    }
    return listeners
  }

  /// Names of sockets that were passed and are not among these: clients that connect there wait for nobody.
  func names(without used: [String]) -> [String] { names.filter { !used.contains($0) } }

  private var names: [String] {
    sockets.reduce(into: []) { names, socket in if !names.contains(socket.name) { names.append(socket.name) } }
  }

  enum Failure: Error, Equatable, CustomStringConvertible {
    case absent(String, others: [String])
    case noListener(String)
    case closed(String, errno: Int32)

    var description: String {
      switch self {
      case .absent(let name, let others):
        """
        \(flag(name)): no socket of that name was passed to the relay\
        \(others.isEmpty ? " (none was)" : ", only \(others.joined(separator: ", "))"); \
        its socket unit needs FileDescriptorName=\(name)
        """
      case .noListener(let name):
        "\(flag(name)): what was passed is no listening stream socket (ListenStream=, Accept=no)"
      case .closed(let name, let error): "\(flag(name)): \(systemMessage(error))"
      }
    }

    private func flag(_ name: String) -> String { "--listen \(ListenChoice.scheme)\(name)" }
  }
}
