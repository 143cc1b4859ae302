@testable import VoltlaneClient

/// The file of a client's session.
enum FuzzSession {
  /// A session that is read is written as the same.
  static func run(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self), let session = FileSessionStore.session(text)
    else { return }
    let again = FileSessionStore.session(FileSessionStore.text(session))
    precondition(again == session)
  }
}
