@testable import VoltlaneConnect

/// The file of a client's session.
enum FuzzSession {
  /// A session that is read is written as the same.
  static func run(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self), let session = SessionFile.session(text) else { return }
    let again = SessionFile.session(SessionFile.text(session))
    precondition(again == session)
  }
}
