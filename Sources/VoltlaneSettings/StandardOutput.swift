import ArgumentParser
import CLinux
import VoltlaneText

/// Printing is what the program was started for: if the output cannot be written, it has failed.
///
/// Its unsafe code passes an array to a system call, for the duration of the call.
package enum StandardOutput {
  /// Writes `text` and a newline.
  package static func write(_ text: String) throws(StandardOutputError) {
    let result = write("\(text)\n", to: 1)
    guard result == 0 else { throw StandardOutputError(errno: -result) }
  }

  fileprivate static func write(_ text: String, to descriptor: Int32) -> Int32 {
    let bytes = Array(text.utf8)
    return unsafe voltlane_write(descriptor, bytes, bytes.count)
  }
}

package struct StandardOutputError: Error, CustomStringConvertible {
  package var errno: Int32

  package var description: String { "cannot write to stdout: \(systemMessage(errno))" }
}

extension ParsableCommand {
  /// Makes sure that nothing the program opens gets the number of a standard stream that was closed. Call this first.
  package static func occupyStandardStreams() { voltlane_occupy_standard_streams() }

  /// Ends the process as `error` asks: help and version are printed and are not a failure, unless they cannot be
  /// written (74, EX_IOERR of sysexits.h).
  package static func end(with error: any Error) -> Never {
    var error = error
    if exitCode(for: error).isSuccess {
      do throws(StandardOutputError) {
        let text = fullMessage(for: error)
        if !text.isEmpty { try StandardOutput.write(text) }
        exit()
      } catch let failure {
        error = failure
      }
    }
    guard error is StandardOutputError else { exit(withError: error) }
    _ = StandardOutput.write("\(_commandName): \(error)\n", to: 2)
    exit(withError: ExitCode(74))
  }
}
