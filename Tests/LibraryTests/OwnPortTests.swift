import Foundation
import Testing

/// A client that dials a port of the range that outgoing connections get, where no relay listens yet.
@Suite struct OwnPortTests {
  /// In a network of its own, in which every connection comes from that very port.
  @Test func `a client is not connected to itself, and leaves the port to the relay`() throws {
    let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
    let script = """
      ip link set lo up && echo '42000 42000' > /proc/sys/net/ipv4/ip_local_port_range || exit 99
      '\(folder)/voltlane-connect' --no-reconnect 127.0.0.1:42000 < /dev/null
      echo "exit code $?"
      # Port 42000 is A410. A connection to itself that was closed would be in TIME-WAIT.
      grep -c ':A410 ' /proc/net/tcp
      true
      """
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["unshare", "--net", "sh", "-c", script]
    process.standardOutput = output
    process.standardError = output
    Program.withholdDescriptors()
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      print("skipped: no network of its own can be had here (unshare, as root): \(text)")
      return
    }
    #expect(text.contains("127.0.0.1:42000: nobody listens there"), "\(text)")
    #expect(text.hasSuffix("exit code 69\n0\n"), "\(text)")
  }
}
