import CHang
import Foundation

/// A file whose opening hangs as long as this lives, for every process: the kernel asks a watcher for permission, which
/// never answers.
final class HungFile {
  private let watcher: Int32

  static let isPossible: Bool = {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-hung-\(UUID().uuidString)").path
    guard FileManager.default.createFile(atPath: path, contents: nil) else { return false }
    defer { try? FileManager.default.removeItem(atPath: path) }
    return HungFile(path) != nil
  }()

  init?(_ path: String) {
    watcher = hang_opening(path)
    guard watcher >= 0 else { return nil }
  }

  /// Returns when somebody is hanging.
  func waitForOpening() {
    hang_wait(watcher)
  }

  deinit {
    close(watcher)
  }
}
