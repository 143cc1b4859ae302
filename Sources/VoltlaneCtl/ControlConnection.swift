import CLinux
import Glibc
import VoltlaneText

/// Why a command was not carried out.
enum ControlFailure: Error, CustomStringConvertible {
  /// There is no relay to ask.
  case unavailable(String)
  /// The connection to it has ended.
  case ended(String)
  /// The relay says why.
  case refused(String)

  var description: String {
    switch self {
    case .unavailable(let reason), .ended(let reason), .refused(let reason): reason
    }
  }

  /// EX_UNAVAILABLE of sysexits.h, or 1.
  var exitCode: Int32 {
    switch self {
    case .unavailable, .ended: 69
    case .refused: 1
    }
  }
}

/// A connection to a relay's control socket. Its unsafe code passes arrays to system calls, for the duration of a call.
final class ControlConnection {
  private let socket: Int32
  private var received: [UInt8] = []

  /// How long the relay may take to answer, in milliseconds.
  private let patience: Int32

  /// It answers at once, unless a file that it reads hangs.
  static let patience: Int32 = 30_000

  init(_ endpoint: Endpoint, patience: Int32) throws(ControlFailure) {
    self.patience = patience
    guard case .unix(let path) = endpoint else { throw .unavailable("\(endpoint) is not a unix socket") }
    socket = unsafe voltlane_connect_unix(path)
    guard socket >= 0 else { throw .unavailable("cannot reach a relay at \(endpoint): \(systemMessage(-socket))") }
  }

  deinit { voltlane_close_file(socket) }

  /// Asks, and waits for the answer.
  func ask(_ request: JSON) throws(ControlFailure) -> JSON {
    let bytes = Array("\(request)\n".utf8)
    let result = unsafe voltlane_write(socket, bytes, bytes.count)
    // The relay may have said why before it closed the connection.
    guard result >= 0 || result == -EPIPE || result == -ECONNRESET else {
      throw .unavailable("cannot write to the relay: \(systemMessage(-result))")
    }
    let line = try readLine()
    guard let answer = try? JSON(utf8: line) else { throw .unavailable("what answers there is not a relay") }
    if let result = answer["ok"] { return result }
    throw .refused(answer["error"]?.string ?? "the relay's answer makes no sense: \(answer)")
  }

  /// How often a relay that is to end is asked whether it still does, in milliseconds.
  private static let interval: Int32 = 200

  /// Returns when a relay that drains has ended: it closes its connections last. One that does not answer may not have.
  func waitForEnd() throws(ControlFailure) {
    while true {
      let status: JSON
      do throws(ControlFailure) {
        status = try ask(["command": "status"])
      } catch .ended {
        return
      }
      guard status["state"] != "running" else { throw .refused("the drain was taken back") }
      voltlane_sleep(Self.interval)
    }
  }

  private func readLine() throws(ControlFailure) -> [UInt8] {
    var searched = 0
    while true {
      if let end = received[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { received.removeFirst(end + 1) }
        return Array(received[..<end])
      }
      searched = received.count
      var bytes = [UInt8](repeating: 0, count: 64 * 1024)
      let count = unsafe voltlane_read_within(socket, &bytes, bytes.count, patience)
      if count == 0 || count == -Int(ECONNRESET) { throw .ended("the relay has closed the connection") }
      guard count > 0 else { throw .unavailable("no answer: \(systemMessage(Int32(-count)))") }
      received += bytes[..<count]
    }
  }
}

/// A connection for a long time, which is made anew where the relay has ended it: after a silence, or because it is
/// another relay by now.
struct LastingConnection {
  private let connect: () throws -> ControlConnection
  private var connection: ControlConnection?

  init(_ connect: @escaping () throws -> ControlConnection) { self.connect = connect }

  mutating func ask(_ request: JSON) throws -> JSON {
    if let connection {
      do throws(ControlFailure) {
        return try connection.ask(request)
      } catch .refused(let reason) {
        throw ControlFailure.refused(reason)
      } catch {
        self.connection = nil
      }
    }
    let new = try connect()
    connection = new
    return try new.ask(request)
  }
}
